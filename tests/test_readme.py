"""The README's commands work as they stand there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.main import COMMANDS
from tests.deploy.composition import SERVICES, composition
from tests.kvitto_process import Running, running
from tests.sandbox.served import served
from tests.servers import bare_environment, eventually

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def lines(text: str) -> list[str]:
    """Return the commands of a text's blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    told = [line.partition("#")[0].strip() for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [line for line in told if line]


LINES = lines(README)
SUBSCRIBING = lines(README.partition("## Subscribe")[2].partition("\n## ")[0])
REPLAYING = lines(next(block for block in re.findall(r"```sh\n.*?```", README, re.DOTALL) if "\nN=" in block))
# Shown in a table: these run until they are stopped, and have tests of their own.
SERVERS = {"ingest", "worker", "beat", "console"}


def test_commands(kvitto: Running, tmp_path: Path) -> None:
    for line in LINES:  # in the order of the page: one may read what another wrote
        if line.startswith("kvitto ") and line not in (*SUBSCRIBING, *REPLAYING):
            done = kvitto.run(*shlex.split(line)[1:], folder=tmp_path)
            assert done.returncode == 0, (line, done.stderr)


def test_subscribing(tmp_path: Path) -> None:
    serve, play, *commands = (shlex.split(line)[1:] for line in SUBSCRIBING)
    assert (serve, play, len(commands)) == (["up", "--https"], ["sandbox", "serve"], 5)
    data = tmp_path / "data"
    with running(data, {}, "--https") as kvitto, served(data):
        for words in commands:
            done = kvitto.run(*words)
            assert done.returncode == 0, (words, done.stderr)


def test_a_replay_that_takes_everything_in(tmp_path: Path) -> None:
    environment = bare_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with running(tmp_path / ".kvitto", {}) as kvitto:
        script = "\n".join(["set -e", *REPLAYING])
        subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)

        def replayed() -> bool:
            kvitto.run(*shlex.split(REPLAYING[-1])[1:])  # again: some may have come after the first
            rows = kvitto.rows("SELECT replayed_at FROM kvitto.dead_letters")
            return len(rows) >= 2 and all(row["replayed_at"] for row in rows)

        eventually(replayed, "the dead letters to be taken in")
        account = kvitto.audit()
        assert (account["dead"], account["receipts"]) == (0, account["appended"])


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets(line: str) -> None:
    subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("sudo docker compose")])
def test_compose_commands_name_services_that_exist(line: str) -> None:
    words = line.partition("&&")[0].split()[3:]
    named = [word for word in words[1:] if not word.startswith("-")]
    assert words[0] in ("up", "build", "run", "restart")
    if words[0] == "run":  # what follows the service is a command of kvitto's
        assert set(named[1:2]) <= COMMANDS.keys()
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
    others = [line for line in LINES if line not in REPLAYING]
    assert [line for line in others if line.split()[0] not in ("kvitto", "make", "curl", "sudo", "sudoedit")] == []
    told = set(re.findall(r"kvitto ([a-z-]+)", README))
    assert told - {"ready"} <= set(COMMANDS)  # `kvitto ready` is what it says, not a command
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
