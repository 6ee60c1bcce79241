"""The image: what it is built from, that what it installs works alone."""

import json
import re
import subprocess
import tomllib
import zipfile
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

from tests.e2e.deploy import installations
from tests.e2e.deploy.composition import PROCESSES, SERVICES
from tests.e2e.deploy.installations import Installation, play
from tests.support.kvitto_process import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"app", "config", "workers"}
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def instructions(name: str) -> list[str]:
    """Return the values of the Dockerfile's instructions of one kind."""
    return [value for _, value in installations.instructions(name)]


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return a lock file's packages with their versions and hashes."""
    found = {}
    for block in re.split(r"\n(?=\S)", (ROOT / lock).read_text()):
        if pin := PIN.match(block):
            found[pin[1]] = (pin[2], frozenset(re.findall(r"--hash=(\S+)", block)))
    return found


def name(requirement: str) -> str:
    """Return the package that a requirement names."""
    return re.split(r"[\[><=~]", requirement)[0]


def site_packages(installation: Installation) -> Path:
    """Return where the packages of an environment lie."""
    (found,) = (installation.folder / "lib").glob("python*/site-packages")
    return found


def test_both_stages_stand_on_one_slim_python_that_the_project_supports() -> None:
    (base,) = {value.partition(" AS ")[0] for value in instructions("FROM")}
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-\w+", base)
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]


def test_it_runs_kvitto_and_not_as_root() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["kvitto"]
    assert "kvitto=10001 " in (ROOT / "deploy" / "make-secrets").read_text()


def test_what_it_copies_is_there_and_reaches_the_engine() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_through = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {source for value in instructions("COPY") if "--from" not in value for source in value.split()[:-1]}
    assert rules[0] == "*"
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_everything_is_installed_by_its_hash() -> None:
    installs = [line for value in instructions("RUN") for line in value.split("&&") if " install " in line]
    assert len(installs) == 3
    assert all("--require-hashes -r" in line or "--no-deps --no-index dist/" in line for line in installs)


def test_its_lock_is_the_runtime_part_of_the_whole() -> None:
    whole, runtime = pins("requirements.lock"), pins("requirements.runtime.lock")
    assert runtime.items() <= whole.items()
    assert {name(item) for item in PROJECT["dependencies"]} <= runtime.keys()
    extras = {name(item) for extra in PROJECT["optional-dependencies"].values() for item in extra}
    assert not extras & runtime.keys()
    assert pins("requirements.build.lock").items() <= whole.items()


def test_the_wheel_holds_every_file_of_the_packages(image: Installation) -> None:
    (wheel,) = (image.folder.parent / "build" / "dist").iterdir()
    tracked = subprocess.run(
        ["git", "ls-files", "app", "config", "workers"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    packed = [item for item in zipfile.ZipFile(wheel).namelist() if not fnmatch(item, "*.dist-info/*")]
    assert set(tracked) <= set(packed)
    assert {Path(item).parts[0] for item in packed} == {"app", "config", "workers"}


def test_it_holds_nothing_that_is_for_development(image: Installation) -> None:
    found = {each.name.lower().replace("_", "-") for each in metadata.distributions(path=[str(site_packages(image))])}
    assert found <= {"kvitto", *pins("requirements.runtime.lock")}
    assert not (image.programs / "pip").exists()


def test_every_process_of_the_image_works_and_imports_what_check_imports(
    image: Installation, open_folder: Path
) -> None:
    found = play(image, open_folder)
    everything = "can be imported for ingest, worker, beat, console, migrate, check"
    assert modules_found_by_check(image, open_folder) == everything
    installed = {path.name.partition(".")[0] for path in site_packages(image).iterdir()} - OWN
    for name in PROCESSES:
        process = SERVICES[name]["command"][0]
        checked = imported_by_check(image, open_folder, process)
        # Packages of others by their names alone: which of its modules a package imports when, is its own matter.
        packages = {module.partition(".")[0] for module in found.imported(name)} & installed
        assert packages
        assert packages - {module.partition(".")[0] for module in checked} == set(), name
        own = {module for module in found.imported(name) if module.partition(".")[0] in OWN}
        assert own - checked - {f"app.{process}.wsgi"} == set(), name


def modules_found_by_check(image: Installation, folder: Path) -> str:
    """Return what `kvitto check` says of the modules, where there is no setting at all."""
    line = [f"{image.programs}/kvitto", "check", "--json"]
    done = subprocess.run(line, env=dict(image.environment), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 78, done.stderr
    return str(next(finding["message"] for finding in json.loads(done.stdout) if finding["name"] == "modules"))


def imported_by_check(image: Installation, folder: Path, process: str) -> set[str]:
    """Return the modules that are there once `kvitto check` has imported a process's."""
    look = "from app.preflight.installation import check; check(sys.argv[1:], ['kompar', 'solaris'])"
    code = f"import sys; {look}; print(*sys.modules)"
    line = [image.python, "-c", code, process]
    done = subprocess.run(line, env=dict(image.environment), cwd=folder, check=True, capture_output=True, text=True)
    return set(done.stdout.split())
