"""A process that is still starting stops on SIGTERM."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.granian import WORKERS_KILL_TIMEOUT
from tests.support import process_tree
from tests.support.kvitto_process import SECRETS, command
from tests.support.ports import free_port
from tests.support.servers import bare_environment, eventually

pytestmark = pytest.mark.early
NOWHERE = {"DATABASE_URL": "postgresql://kvitto@127.0.0.1:1/kvitto", "REDIS_URL": "redis://127.0.0.1:1/0"}
KEYS = {"SEALING_KEYS": f"a={'A' * 43}=", "CONSOLE_PASSWORD": "p" * 20}
# What Granian logs of a worker that has not ended by itself in time; on a busy machine also of one that has just ended.
KILLED = "refused to gracefully stop"


@contextmanager
def starting(name: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of Kvitto's; its servers are unavailable, which does not stop the start."""
    environment = bare_environment() | SECRETS | NOWHERE | KEYS | {f"{name.upper()}_BIND": f"127.0.0.1:{free_port()}"}
    with log.open("wb") as out, subprocess.Popen(command(name), env=environment, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process_tree.kill(
                *(pid for pid in (*process_tree.below(process.pid), process.pid) if process_tree.is_running(pid))
            )


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("name", ["ingest", "console"])
def test_a_starting_server_worker_stops_on_sigterm(tmp_path: Path, name: str, seconds: float) -> None:
    with starting(name, tmp_path / "log") as process:
        eventually(lambda: bool(process_tree.named(process.pid, f"kvitto {name}")), "the worker of the server")
        time.sleep(seconds)  # the moment is what differs
        started = process_tree.below(process.pid)
        process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        assert process.wait(120) == 0
        assert not was_killed(tmp_path / "log", asked_at)
        assert not [pid for pid in started if process_tree.is_running(pid)]


@pytest.mark.parametrize("seconds", [0.0, 0.5])
@pytest.mark.parametrize("name", ["ingest", "console"])
def test_a_server_without_workers_stops_on_sigterm(tmp_path: Path, name: str, seconds: float) -> None:
    with starting(name, tmp_path / "log") as process:
        time.sleep(seconds)  # the moment is what differs
        process.send_signal(signal.SIGTERM)
        asked_at = time.monotonic()
        assert process.wait(120) in (0, -signal.SIGTERM)
    assert not was_killed(tmp_path / "log", asked_at)


def was_killed(log: Path, asked_at: float) -> bool:
    """Return whether a worker was ended by force: Granian waits that long before."""
    return KILLED in log.read_text() and time.monotonic() - asked_at >= WORKERS_KILL_TIMEOUT
