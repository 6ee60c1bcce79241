"""Errors that nothing handles are reported by type and place: their messages may quote values, and are not shown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kvitto_process import ROOT, command
from tests.support.servers import bare_environment

SECRET = "postgresql://kvitto:the-password@db"
LOGGED = f"""
import threading, config.logging
def fail(): raise LookupError({SECRET!r})
config.logging.configure()
"""
IN_A_COMMAND = f"""
import sys, app.cli.main as commands
from app.cli.__main__ import main
def fail(*_, **__): raise ValueError({SECRET!r})
commands.adopt, sys.argv[1:] = fail, ["audit"]
main()
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code]
    return subprocess.run(line, env=bare_environment(), cwd=ROOT, capture_output=True, text=True, check=False)


def test_error_of_a_command_is_one_line_without_its_message() -> None:
    done = python(IN_A_COMMAND)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"kvitto: unexpected ValueError at {ROOT}/app/cli/main.py:")
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("ending", "status"), [("threading.Thread(target=fail).start()", 0), ("fail()", 1)], ids=["thread", "process"]
)
def test_error_that_ends_a_thread_or_a_process_is_logged_without_its_message(ending: str, status: int) -> None:
    done = python(LOGGED + ending)
    assert done.returncode == status
    (line,) = done.stderr.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["level"], logged["exception"][0]) == (
        "unhandled_exception", "critical", "LookupError",
    )  # fmt: skip
    assert SECRET not in line


@pytest.mark.parametrize("arguments", [("--help",), ("audit",), ("worker",), ("health", "beat")])
def test_command_in_a_folder_that_was_removed_says_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (gone := tmp_path / "gone").mkdir()
    environment = bare_environment() | {"PYTHONPATH": str(ROOT)}
    line = ["sh", "-c", f'rmdir {gone}; exec "$0" "$@"', *command(*arguments)]
    done = subprocess.run(line, env=environment, cwd=gone, capture_output=True, text=True, check=False)
    problem = "kvitto: the current folder was removed, or cannot be entered: change to another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", problem)
