"""The commands on the README and on the pages of docs/ work as they are written."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.main import COMMANDS
from tests.e2e.deploy.composition import SERVICES, composition
from tests.support import command_server
from tests.support.kvitto_process import Running, running
from tests.support.servers import bare_environment, eventually

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
# Pages whose commands run beside one Kvitto, in this order.
NAMES = ("tutorial", "operations", "consuming", "performance", "data-model", "kubernetes")
PAGES = (README, *(ROOT / "docs" / f"{name}.md" for name in NAMES))
# What a test cannot give: servers that run until Ctrl-C, root's editor, containers, a cluster. Other tests check these
# lines.
SERVE = (
    "kvitto up", "kvitto sandbox serve", "kvitto ingest", "kvitto worker", "kvitto beat", "kvitto console",
    "kvitto feed --follow",
)  # fmt: skip
ELSEWHERE = ("make ", "sudo ", "sudoedit ", *SERVE)
SUBSCRIBE = "subscriptions "


def commands(page: Path) -> list[str]:
    """Return the commands of a page's `sh` blocks, without comments; one may have several lines."""
    found: list[str] = []
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        pending = ""
        for line in block.splitlines():
            pending += re.sub(r"\s+#(?= ).*", "", line) + "\n"
            if is_complete(pending):
                found.append(pending.strip())
                pending = ""
        assert not pending, (page.name, pending)
    return [command for command in found if command and not command.startswith("#")]


def is_complete(text: str) -> bool:
    """Return whether a command ends here: every quotation is closed, and no backslash continues it."""
    try:
        shlex.split(text)
    except ValueError:
        return False
    return not text.endswith("\\\n")


ALL = [(page, command) for page in PAGES for command in commands(page)]
LINES = [command for _, command in ALL]
TUTORIAL = commands(ROOT / "docs" / "tutorial.md")
SUBSCRIBING = [line for line in TUTORIAL if line.startswith(("kvitto up --https", "kvitto sandbox serve"))] + [
    line for line in TUTORIAL if line.startswith(f"kvitto {SUBSCRIBE}")
]


def script(page: Path) -> str:
    """Return what of a page runs beside a Kvitto, as a shell script that names the command that failed."""
    lines = [line for line in commands(page) if not line.startswith(ELSEWHERE) and line not in SUBSCRIBING]
    return "\n".join(["set -eu -o pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR", *lines])


@pytest.fixture(scope="module")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Kvitto for all pages, with secrets of its own, as `make up` starts it."""
    with running(tmp_path_factory.mktemp("pages") / ".kvitto", {}) as found:
        yield found


def shell(kvitto: Running, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the folder that holds `.kvitto`, where `kvitto` is this checkout's command."""
    binaries = kvitto.data.parent / "bin"
    binaries.mkdir(exist_ok=True)
    program = binaries / "kvitto"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command_server.client())} "$@"\n')
    program.chmod(0o755)
    environment = bare_environment()
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", text.replace("http://127.0.0.1:8080", kvitto.ingest)],
        cwd=kvitto.data.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_pages_in_order_run_as_written(kvitto: Running) -> None:
    for page in PAGES:
        done = shell(kvitto, script(page))
        assert done.returncode == 0, (page.name, done.stdout, done.stderr)
    own = "SELECT * FROM reporting.kompar_decisions WHERE application_id = 'my-first'"
    eventually(lambda: len(kvitto.rows(own)) == 1, "the row of the reader's own delivery")

    def replayed() -> bool:
        done = shell(kvitto, "kvitto dead-letters replay --all")  # some may have arrived after the page's replay
        return done.returncode == 0 and len(letters(kvitto, replayed=True)) >= 2

    eventually(replayed, "the two applications to be opened with the key that was added")
    account = kvitto.audit()
    assert account["dead"] == len(letters(kvitto, replayed=False))
    assert account["appended"] + account["overflowed"] == account["receipts"] + account["copies"]
    assert kvitto.rows("SELECT receipt FROM reporting.feed WHERE change = 'erased'")
    logged = {row["action"] for row in kvitto.rows("SELECT action FROM reporting.access_log")}
    assert {"reveal", "export", "erasure", "replay", "discard"} <= logged


def test_feed_retention_and_erasure_take_ten_commands_of_the_tutorial() -> None:
    section = (ROOT / "docs" / "tutorial.md").read_text().partition("## 7. ")[2].partition("\n## ")[0]
    lines = [line for line in dict.fromkeys(TUTORIAL) if line in section]
    assert len(lines) == 10
    named = {name for line in lines for name in re.findall(r"kvitto (feed|retention|export|erase)\b", line)}
    assert named == {"feed", "retention", "export", "erase"}


def letters(kvitto: Running, replayed: bool) -> list[dict[str, object]]:
    query = """
        SELECT receipt FROM kvitto.dead_letters WHERE (replayed_at IS NOT NULL) = %s AND discarded_at IS NULL
    """
    return kvitto.rows(query, replayed)


@pytest.mark.parametrize("line", sorted({line for line in LINES if line.startswith("make ")}))
def test_make_targets_exist(line: str) -> None:
    subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", sorted({line for line in LINES if line.startswith("sudo docker compose")}))
def test_compose_commands_name_services_that_exist(line: str) -> None:
    words = re.sub(r" --profile \w+", "", re.split(r"[<>&|]", line)[0]).split()[3:]
    named = [word for word in words[1:] if not word.startswith("-")]
    assert words[0] in ("up", "build", "run", "restart", "stop", "exec")
    if words[0] == "run":  # the service, then a command of kvitto
        assert set(named[1:2]) <= COMMANDS.keys()
    if words[0] in ("run", "exec"):
        named = named[:1]
    assert set(named) <= SERVICES.keys()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"deploy/[\w/.-]+", "\n".join(LINES)))))
def test_files_of_commands_exist_or_are_secrets(path: str) -> None:
    assert (ROOT / path).exists() or f"/{Path(path).name}" in str(composition()["secrets"])


def test_every_command_is_run_or_checked() -> None:
    known = ("kvitto", "make", "sudo", "sudoedit", "curl", "printf", "until")
    others = [line for line in LINES if not line.startswith(known) and not re.match(r"[A-Z_]+=", line)]
    assert others == []
    roots = ("sudo docker compose ", "sudo deploy/", "sudo cp ", "sudo sh -c ", "sudo kubectl ", "sudo helm ")
    assert [line for line in LINES if line.startswith("sudo ") and not line.startswith(roots)] == []


def test_every_page_with_commands_is_run() -> None:
    others = ("configuration.md", "three-hosts.md")  # the second has a test of its own in tests/install
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page.name not in others and commands(page)]
    assert set(pages) <= set(PAGES)


def test_all_servers_are_shown() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"kvitto ([a-z][a-z-]+)", text)) & COMMANDS.keys()
    assert named >= COMMANDS.keys() - {"demo"}


def test_make_help_lists_every_target_of_the_pages() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    pages = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md")
    named = {name for page in pages for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named | {"install", "demo", "up", "test", "check", "help"} <= listed


def test_the_readme_fits_on_one_page() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 170
    assert README.stat().st_size <= 9 * 1024
    assert [line for line in lines if len(line) > 100] == []


def test_retries_and_duplicates_take_five_sentences() -> None:
    section = README.read_text().partition("### Retries and duplicates\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\d\. ", section, re.MULTILINE)) == 5
    assert len(re.findall(r"\.(?=\s)", re.sub(r"^\d\. ", "", section, flags=re.MULTILINE))) == 5


def test_the_readme_s_figures_are_those_measured() -> None:
    measured = (ROOT / "benchmarks" / "results" / "RESULTS.md").read_text().splitlines()
    section = README.read_text().partition("## Performance\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 5
    assert [row for row in rows if row not in measured] == []
    goals = [line for line in measured if line.endswith(("| yes |", "|  NO |"))]
    missed = [line for line in goals if line.endswith("|  NO |")]
    assert f"{len(missed)} of {len(goals)} goals are missed" in " ".join(section.split())
    assert any(row in rows for row in missed)


def test_pictures_are_small() -> None:
    pictures = re.findall(r"docs/images/[\w/-]+\.webp", README.read_text())
    assert len(set(pictures)) == 2
    assert [picture for picture in pictures if (ROOT / picture).stat().st_size >= 200_000] == []
