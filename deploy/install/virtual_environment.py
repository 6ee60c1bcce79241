"""Check the machine, then make .venv from the lock file unless it is there.

`python -m deploy.install.virtual_environment GOAL…`: this Python is the one that .venv gets. Nothing is installed yet:
standard library only.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from app.local.machine import DATA_MB, LocalError, require, temporary_folder
from app.local.postgres_user import postgres_user

_ROOT = Path(__file__).resolve().parents[2]
_VENV = (_ROOT / ".venv").resolve()
_LOCK = _ROOT / "requirements.lock"
_STAMP = _VENV / "ready"
_PIP = (str(_VENV / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check")
_PROGRESS = 20  # packages from one line to the next
# MB of room, measured and rounded up: what is installed with its wheels, what all tests leave.
_INSTALL_MB = 1100
_TESTS_MB = 8000


def check(goals: Collection[str]) -> None:
    """Raise LocalError unless the machine has what the goals `demo`, `up` and `test` need."""
    if "up" in goals and "DATABASE_URL" not in os.environ:
        data = _ROOT / (os.environ.get("KVITTO_DATA") or ".kvitto")
        place = next(each for each in (data, *data.parents) if each.exists())
        require(place, DATA_MB, "name a data folder elsewhere with KVITTO_DATA")
        postgres_user(place, _ROOT)
    if "demo" in goals:
        postgres_user(temporary_folder(DATA_MB), _ROOT)
    if "test" in goals:
        require(_ROOT, 0, "run tests in a checkout of your own")
        place = temporary_folder(_TESTS_MB)
        _require_programs(place, "name another temporary folder with TMPDIR")
        postgres_user(place, _ROOT)


def _require_programs(folder: Path, advice: str) -> None:
    """Raise LocalError if the mount of a folder keeps programs in it from running (as far as Linux reports it)."""
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise LocalError(f"{folder} is mounted noexec, and programs run there: {advice}")


def install() -> None:
    """Make .venv, unless it was made from this lock file, by this Python, in this place; or raise LocalError."""
    with _alone() as lock:
        if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == stamp():
            return
        _clear()
        require(_VENV, _INSTALL_MB, "move the checkout elsewhere")
        version = ".".join(map(str, sys.version_info[:3]))
        _say(f"installing into .venv with Python {version} ({sys.executable}), 1 to 3 minutes")
        temporary = _VENV / "tmp"  # the usual one may be small, or full
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        _run(lock, sys.executable, "-m", "venv", str(_VENV))
        _run(lock, *_PIP, "--no-compile", "--require-hashes", "-r", str(_LOCK))
        _run(lock, *_PIP, "--no-deps", "--no-build-isolation", "--editable", str(_ROOT))
        _compile(lock)
        shutil.rmtree(temporary)
        _STAMP.write_text(stamp(), encoding="utf-8")


def stamp() -> str:
    """Return what .venv is made from: a digest of the lock and of the project's own metadata, the Python, the place."""
    contents = (path.read_bytes() for path in (_LOCK, _ROOT / "pyproject.toml"))
    digest = hashlib.sha256(b"\0".join(contents)).hexdigest()
    return "\n".join([digest, os.path.realpath(sys.executable), str(_ROOT)])


def _clear() -> None:
    """Empty .venv, which may be a mount or a link; the stamp goes first, so that half of it is never taken for all."""
    require(_VENV if _VENV.exists() else _ROOT, 0, "install in a checkout of your own")
    _STAMP.unlink(missing_ok=True)
    _VENV.mkdir(exist_ok=True)
    _require_programs(_VENV, "move the checkout elsewhere")
    for each in _VENV.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


@contextlib.contextmanager
def _alone() -> Iterator[int]:
    """Keep a second `make` waiting until the first has installed; yield the lock, for pip to hold if it outlives us."""
    folder = os.open(_ROOT, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(folder)


def _run(lock: int, *command: str) -> None:
    """Run a step of the installation, and say how far pip is."""
    packages = 0
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, text=True, errors="replace", pass_fds=[lock]
    ) as process:
        for line in process.stdout or ():
            packages += line.startswith("Collecting ")
            if line.startswith("Collecting ") and packages % _PROGRESS == 0:
                _say(f"  {packages} packages are here")
            elif line.startswith("Installing collected packages") and packages:
                _say(f"  all {packages} packages are here; unpacking them")
    if process.returncode:
        raise LocalError("the installation stopped; its message above says why: correct that, and run make again")


def _compile(lock: int) -> None:
    """Compile what is installed on all cores; pip would on one. What is left, the first import compiles."""
    command = [str(_VENV / "bin" / "python"), "-I", "-m", "compileall", "-j", "0", str(_VENV / "lib")]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[lock], check=False)  # noqa: S603


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Check the machine for what the goals need, then install."""
    try:
        check(sys.argv[1:])
        install()
    except LocalError as error:
        raise SystemExit(str(error)) from error
    except OSError as error:
        where = error.filename or _ROOT
        raise SystemExit(f"{where} cannot be used ({error.strerror}): correct that, or move the checkout") from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
