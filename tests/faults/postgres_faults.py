"""Postgres: crashed into recovery, out of connections and disk, locked, and short with its clients."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any

import psycopg

from tests import process_tree
from tests.faults.fault_context import Fault, Scene
from tests.faults.process_control import POSTGRES, children, frozen, let_no_file_grow, send
from tests.servers import eventually

_LEDGER = "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'kvitto-ledger')"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kvitto/kompar', 0))"


@contextmanager
def _session(scene: Scene) -> Iterator[psycopg.Connection[Any]]:
    """Open a session of the test's own that commits by itself."""
    with psycopg.connect(scene.kvitto.database, autocommit=True) as connection:
        yield connection


def _ledger_backends(scene: Scene) -> list[int]:
    """Return the server's processes that serve workers; waits for the first."""
    found: list[int] = []

    def look() -> bool:
        try:
            found[:] = [row["pid"] for row in scene.kvitto.rows(_LEDGER)]
        except psycopg.OperationalError:
            return False  # in recovery
        return bool(found)

    eventually(look, "the ledger in use", 60)
    return found


def _kill_backends(scene: Scene) -> None:
    """Kill one that serves a worker: the server drops everybody and recovers."""
    for _ in scene.again(quick=2, full=4, every=1):
        send(SIGKILL, _ledger_backends(scene)[0])


def _freeze_backends(scene: Scene) -> None:
    """Freeze those that serve workers for longer than a task may take."""
    with frozen(*_ledger_backends(scene)):
        scene.hold(3, 65)


def _terminate_sessions(scene: Scene) -> None:
    with _session(scene) as connection:
        for _ in scene.again(quick=10, full=30, every=0.2):
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({_LEDGER}) AS ledger")


def _cancel_statements(scene: Scene) -> None:
    """Cancel what runs, as a statement's time-out does."""
    with _session(scene) as connection:
        for _ in scene.again(quick=40, full=200, every=0.05):
            connection.execute(f"SELECT pg_cancel_backend(pid) FROM ({_LEDGER}) AS ledger")


def _use_connections_up(scene: Scene) -> None:
    """Take every connection there is, those of workers included, and each one that becomes free meanwhile."""
    taken: list[psycopg.Connection[Any]] = []

    def none_is_left() -> bool:
        try:
            taken.append(psycopg.connect(scene.kvitto.database, autocommit=True))
        except psycopg.OperationalError as error:
            return "too many clients" in str(error)
        return False

    try:
        eventually(none_is_left, "every connection taken", 60)
        taken[0].execute(f"SELECT pg_terminate_backend(pid) FROM ({_LEDGER}) AS ledger")
        until = time.monotonic() + (10 if scene.full else 3)
        while time.monotonic() < until:
            if none_is_left():
                time.sleep(0.05)
        eventually(none_is_left, "every connection taken to the end", 60)
    finally:
        for connection in taken:
            connection.close()


def _lock_for_long(scene: Scene) -> None:
    """Hold the lock that workers need for longer than they wait for it."""
    with _session(scene) as connection, connection.transaction():
        connection.execute(_LOCK)
        scene.hold(2.5, 22)


def _deadlock(scene: Scene) -> None:
    """Wait for a worker's lock while holding what it wants next; the worker is the one that gives way."""
    for _ in scene.again(quick=1, full=4, every=0.2):
        with _session(scene) as connection:
            before = _deadlocks(connection)
            connection.execute("SET deadlock_timeout = '60s'")  # it does not look, the worker does after a second
            with connection.transaction():
                connection.execute("LOCK TABLE kvitto.receipts IN ACCESS EXCLUSIVE MODE")
                eventually(lambda: _is_waited_for(connection), "a worker that waits", 30)
                connection.execute(_LOCK)
            eventually(lambda: _deadlocks(connection) > before, "a deadlock counted")  # noqa: B023 - called at once


def _is_waited_for(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether a worker that has Kompar's lock waits for the table; others may wait for it, too."""
    query = """
        SELECT FROM pg_locks AS table_lock JOIN pg_locks AS turn USING (pid) JOIN pg_stat_activity USING (pid)
        WHERE NOT table_lock.granted AND table_lock.relation = 'kvitto.receipts'::regclass
          AND turn.granted AND turn.locktype = 'advisory' AND application_name = 'kvitto-ledger-kompar'
    """
    return connection.execute(query).fetchone() is not None


def _deadlocks(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT sum(deadlocks) FROM pg_stat_database").fetchone()
    assert row is not None
    return int(row[0])


def _make_read_only(scene: Scene) -> None:
    """Refuse writes, as a standby does that was mistaken for the primary."""
    with _session(scene) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            scene.hold(2.5, 8)
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


def _fill_disk(scene: Scene) -> None:
    """Let no file grow beyond a few pages: the next write to the log fails, and the server ends and recovers."""
    for _ in scene.again(quick=1, full=3, every=1):
        pids = [*_ledger_backends(scene), *children(scene, POSTGRES)]
        for pid in pids:
            let_no_file_grow(pid, beyond=64 * 1024)
        eventually(lambda: not any(map(process_tree.is_running, pids)), "a crash for want of room")  # noqa: B023 - at once


FAULTS = [
    Fault("postgres backend killed, recovery", _kill_backends),
    Fault("postgres backends frozen", _freeze_backends),
    Fault("postgres sessions terminated", _terminate_sessions),
    Fault("postgres statements cancelled", _cancel_statements),
    Fault("postgres out of connections", _use_connections_up),
    Fault("postgres lock held past its time-out", _lock_for_long),
    Fault("postgres deadlocks", _deadlock),
    Fault("postgres read-only", _make_read_only),
    Fault("postgres disk full", _fill_disk),
]
