"""A supervised program is a fork with an environment, a log and a session of its own."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.local.machine import LocalError
from app.local.supervisor import EX_CONFIG, Program, Supervisor, execute
from tests.support.servers import eventually


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    reports: list[str] = []
    supervisor = Supervisor(reports.append)
    yield supervisor
    supervisor.stop()
    assert not reports


def _describe(path: Path) -> None:
    """Write what this process is, then wait for a signal."""
    described = {"environment": dict(os.environ), "session": os.getsid(0), "pid": os.getpid()}
    path.with_suffix(".new").write_text(json.dumps(described))
    path.with_suffix(".new").rename(path)
    os.write(1, b"to standard output\n")
    os.write(2, b"to standard error\n")
    signal.pause()


def test_a_fork_has_the_environment_of_its_program_and_nothing_else(tmp_path: Path, supervisor: Supervisor) -> None:
    path, log = tmp_path / "described", tmp_path / "log"
    os.environ["OF_THE_SUPERVISOR"] = "x"
    try:
        supervisor.start(Program("fork", partial(_describe, path), {"OWN": "1"}, log))
        eventually(path.exists, "the description")
    finally:
        del os.environ["OF_THE_SUPERVISOR"]
    found = json.loads(path.read_text())
    assert found["environment"] == {"OWN": "1"}
    assert found["session"] == found["pid"] != os.getpid()
    eventually(lambda: log.exists() and log.read_text() == "to standard output\nto standard error\n", "the log")


def test_a_command_is_executed_in_place_of_the_fork(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "log"
    program = Program("command", partial(execute, ["/bin/sh", "-c", "echo $OWN; exec sleep 60"]), {"OWN": "1"}, log)
    supervisor.start(program)
    eventually(lambda: log.exists() and log.read_text() == "1\n", "the log")
    assert supervisor.runs("command")


def test_a_program_that_refuses_its_configuration_is_not_restarted(tmp_path: Path, supervisor: Supervisor) -> None:
    refuses = partial(execute, ["/bin/sh", "-c", f"echo KEY is not set; exit {EX_CONFIG}"])
    supervisor.start(Program("refuses", refuses, {}, tmp_path / "log"))
    eventually(lambda: not supervisor.runs("refuses"), "the end")
    with pytest.raises(LocalError, match="refuses refused to start:\nKEY is not set"):
        supervisor.restart_dead()
