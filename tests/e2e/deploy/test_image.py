"""The image: what it is built from."""

import json
import re
import tomllib

from tests.e2e.deploy import installations
from tests.support.kvitto_process import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


def test_both_stages_stand_on_one_slim_python_that_the_project_supports() -> None:
    (base,) = {value.partition(" AS ")[0] for value in instructions("FROM")}
    version = re.fullmatch(r"python:(3\.\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
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
    assert len(installs) == 4
    assert all("--require-hashes -r" in line or "--no-deps --no-index dist/" in line for line in installs)


def test_its_lock_is_the_runtime_part_of_the_whole() -> None:
    whole, runtime = pins("requirements.lock"), pins("requirements.runtime.lock")
    assert runtime.items() <= whole.items()
    assert {name(item) for item in PROJECT["dependencies"]} <= runtime.keys()
    extras = {name(item) for extra in PROJECT["optional-dependencies"].values() for item in extra}
    assert not extras & runtime.keys()
    assert pins("requirements.build.lock").items() <= whole.items()
    assert pins("requirements.oidc.lock").items() <= whole.items()
