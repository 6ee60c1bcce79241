"""Embedded servers for tests that need no other process of Kvitto's."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.local.embedded_servers import postgres_answers, prepare_postgres, prepare_valkey, valkey_answers
from tests.support.ports import free_port

REDIS_CONF = Path(__file__).parents[2] / "config" / "redis.conf"


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0, log: Path | None = None) -> None:
    """Wait for something that is bound to happen; a failure shows a log as it is then.

    The longer it takes, the less often it looks: on a busy machine, looking keeps what it waits for from happening.
    """
    begun = time.monotonic()
    while not condition():
        waited = time.monotonic() - begun
        assert waited < seconds, f"not within {seconds} s: {what}{log.read_text() if log else ''}"
        time.sleep(min(0.02 + waited / 20, 0.25))


@contextmanager
def serving(
    command: list[str], log: Path, stop_signal: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the duration of a block; the log survives for a look after a failure."""
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(stop_signal)


@contextmanager
def postgres(folder: Path, *options: str) -> Iterator[str]:
    """Serve a PostgreSQL; yield the DSN of its database `postgres`."""
    with postgres_process(folder, *options) as (dsn, _):
        yield dsn


@contextmanager
def postgres_process(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve a PostgreSQL; yield the DSN of its database `postgres`, and its process."""
    port = free_port()
    command = [*prepare_postgres(folder / "postgres", port), *options]
    dsn = f"postgresql://kvitto@127.0.0.1:{port}/postgres"
    with serving(command, folder / "postgres.log", signal.SIGINT) as process:
        eventually(lambda: postgres_answers(dsn), "postgres ready")
        yield dsn, process


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[str]:
    """Serve a Valkey under the project's own redis.conf; yield its URL."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with serving([*prepare_valkey(folder / "valkey", port, REDIS_CONF), *options], folder / "valkey.log"):
        eventually(lambda: valkey_answers(url), "valkey ready")
        yield url


def bare_environment() -> dict[str, str]:
    """Return an environment without any setting of Kvitto's."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
