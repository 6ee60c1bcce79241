"""The README's commands work as they stand there."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from app.cli import _COMMANDS
from tests.deploy.composition import SERVICES, composition
from tests.running import Running
from tests.servers import bare_environment, eventually

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line.partition("#")[0].strip() for block in BLOCKS for line in block.replace("\\\n", "").splitlines()]
# Shown in a table: these run until they are stopped, and have tests of their own.
SERVERS = {"ingest", "worker", "beat", "console"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run, in the order of the README: one may read what another wrote."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("kvitto ")])
def test_commands(kvitto: Running, folder: Path, line: str) -> None:
    done = kvitto.run(*shlex.split(line)[1:], folder=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets(line: str) -> None:
    subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("sudo docker compose")])
def test_compose_commands_name_services_that_exist(line: str) -> None:
    words = line.partition("&&")[0].split()[3:]
    named = [word for word in words[1:] if not word.startswith("-")]
    assert words[0] in ("up", "build", "run", "restart")
    if words[0] == "run":  # what follows the service is a command of kvitto's
        assert set(named[1:2]) <= _COMMANDS.keys()
        named = named[:1]
    assert set(named) <= SERVICES.keys()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"deploy/[\w/.-]+", "\n".join(LINES)))))
def test_files_that_are_named_are_there_or_made(path: str) -> None:
    assert (ROOT / path).exists() or f"/{Path(path).name}" in str(composition()["secrets"])


def test_a_delivery_of_your_own(kvitto: Running) -> None:
    (line,) = [line for line in LINES if line.startswith("curl ")]
    line = line.replace("http://127.0.0.1:8080", kvitto.ingest).replace(
        "$(cat .kvitto/secrets/KOMPAR_TOKENS)", "another-token"
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=bare_environment(), check=True)
    assert '"receipt"' in done.stdout
    found = "SELECT * FROM reporting.kompar_decisions WHERE application_id = 'my-first'"
    eventually(lambda: len(kvitto.rows(found)) == 1, "its row")


def test_every_line_is_covered() -> None:
    assert [line for line in LINES if line.split()[0] not in ("kvitto", "make", "curl", "sudo", "sudoedit")] == []
    told = set(re.findall(r"kvitto ([a-z-]+)", README))
    assert told - {"ready"} <= set(_COMMANDS)  # `kvitto ready` is what it says, not a command
    assert told >= SERVERS


def test_every_setting_is_told() -> None:
    sources = "".join(path.read_text() for folder in ("app", "config") for path in (ROOT / folder).rglob("*.py"))
    read = set(
        re.findall(
            r"\.(?:text|url|secret|secrets|labelled_secrets|keys|key|integer|address|names|accepted|read)"
            r'\((?:environment, )?"([A-Z_]+)"',
            sources,
        )
    )
    assert read == set(re.findall(r"`([A-Z][A-Z_]+)`", README.partition("### Settings")[2].partition("###")[0])) - {
        "NAME", "NAME_FILE", "PROMETHEUS_MULTIPROC_DIR",
    }  # fmt: skip


def test_every_make_target_is_listed_by_help() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"install", "demo", "up", "test", "check", "help"}
