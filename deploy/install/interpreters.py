"""Find the Python to install with, and install: `python3 -m deploy.install.interpreters "$(PYTHON)" GOAL…`.

Any Python from 3.6 on runs this before anything is installed: standard library only, no newer syntax.
"""

import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Iterator, NamedTuple  # noqa: UP035 - that of collections.abc takes no parameters in Python 3.6

_ROOT = Path(__file__).resolve().parents[2]
_PROBE = """
import sys
print("%d.%d" % sys.version_info[:2])
import ensurepip, venv
print(sys._base_executable)
"""


class Interpreter(NamedTuple):
    """A Python: where it really is (behind a shim, below a .venv), its version, and why it cannot install, if so."""

    path: str
    version: str
    fault: str


def supported() -> "list[str]":
    """Return the versions that pyproject.toml allows, newest first."""
    text = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    first, end = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', text, re.MULTILINE)[0]
    return [f"3.{minor}" for minor in reversed(range(int(first), int(end)))]


def examine(path: str) -> Interpreter:
    """Run a Python to see what it is: a shim of pyenv's may be there and fail."""
    try:
        said = subprocess.check_output([path, "-E", "-c", _PROBE], stderr=subprocess.DEVNULL)  # noqa: S603
    except subprocess.CalledProcessError as error:
        said = error.output
    except OSError:
        said = b""
    version, _, base = said.decode("utf-8", "surrogateescape").strip().partition("\n")
    versions = supported()
    if not version:
        fault = "does not run"
    elif version not in versions:
        fault = f"is Python {version}, and Kvitto needs {versions[-1]} to {versions[0]}"
    elif not base:
        fault = f"lacks venv or ensurepip (Debian: apt-get install python{version}-venv)"
    else:
        fault = ""
    return Interpreter(base or path, version, fault)


def on_path(*names: str) -> "Iterator[Interpreter]":
    """Examine every Python of these names on PATH; without names of every supported one, the newest version first."""
    for name in names or [f"python{version}" for version in supported()] + ["python3", "python"]:
        for folder in [""] if os.sep in name else os.get_exec_path():
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield examine(path)


def choose(named: str, goals: str) -> Interpreter:
    """Return the Python that is named, or that of .venv, or the newest on PATH.

    Raises:
        SystemExit: With the sentence that says what to do.
    """
    kept = _ROOT / ".venv" / "bin" / "python"
    asked = on_path(named) if named else chain([examine(str(kept))] if kept.exists() else [], on_path())
    found = list(_up_to_suitable(asked))
    if found and not found[-1].fault:
        return found[-1]
    lowest, highest = supported()[-1], supported()[0]
    if named:
        wrong = f"PYTHON={named} {found[0].fault if found else 'is not there'}"
        other = next((each.path for each in on_path() if not each.fault), "")
        advice = f"use make PYTHON={other} {goals}" if other else f"name a Python {lowest} to {highest}"
        raise SystemExit(f"{wrong}: {advice}")
    near = [f"{each.path} {each.fault}" for each in found if each.version in supported()]
    wrong = near[0] if near else f"no Python {lowest} to {highest} is on PATH (Debian: apt-get install python3-venv)"
    raise SystemExit(f"{wrong}: install that, or use make PYTHON=/path/to/python {goals}")


def _up_to_suitable(pythons: "Iterator[Interpreter]") -> "Iterator[Interpreter]":
    for python in pythons:
        yield python
        if not python.fault:
            return


def others() -> "list[str]":
    """Return a Python of each version on PATH but the one that runs this."""
    found = {each.version: each.path for each in on_path() if not each.fault}
    return [path for version, path in found.items() if version != f"{sys.version_info[0]}.{sys.version_info[1]}"]


def main() -> None:
    """Become the installation, run by the Python that was found."""
    named, *goals = sys.argv[1:]
    found = choose(named, " ".join(goals))
    os.execv(found.path, [found.path, "-E", "-m", "deploy.install.virtual_environment", *goals])  # noqa: S606


if __name__ == "__main__":
    main()
