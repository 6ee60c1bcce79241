"""Postgres: crashed into recovery, out of connections and disk, locked, and closing its clients' sessions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL
from typing import Any

import psycopg

from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.process_control import POSTGRES, children, frozen, let_no_file_grow, send
from tests.support import process_tree
from tests.support.servers import eventually

_LEDGER = "SELECT pid FROM pg_stat_activity WHERE starts_with(application_name, 'kvitto-ledger')"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kvitto/kompar', 0))"


@contextmanager
def _session(context: FaultContext) -> Iterator[psycopg.Connection[Any]]:
    """Open a session of the test, in autocommit mode."""
    with psycopg.connect(context.kvitto.database, autocommit=True) as connection:
        yield connection


def _ledger_backends(context: FaultContext) -> list[int]:
    """Return the server's processes that serve workers; waits for the first."""
    pids: list[int] = []

    def has_backends() -> bool:
        try:
            pids[:] = [row["pid"] for row in context.kvitto.rows(_LEDGER)]
        except psycopg.OperationalError:
            return False  # in recovery
        return bool(pids)

    eventually(has_backends, "the ledger in use", 60)
    return pids


def _kill_backends(context: FaultContext) -> None:
    """Kill one that serves a worker: the server closes every session and recovers."""
    for _ in context.repeat(quick=2, full=4, every=1):
        send(SIGKILL, _ledger_backends(context)[0])


def _freeze_backends(context: FaultContext) -> None:
    """Freeze those that serve workers for longer than a task may take."""
    with frozen(*_ledger_backends(context)):
        context.hold(3, 65)


def _terminate_sessions(context: FaultContext) -> None:
    with _session(context) as connection:
        for _ in context.repeat(quick=10, full=30, every=0.2):
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({_LEDGER}) AS ledger")


def _cancel_statements(context: FaultContext) -> None:
    """Cancel what runs, as a statement's time-out does."""
    with _session(context) as connection:
        for _ in context.repeat(quick=40, full=200, every=0.05):
            connection.execute(f"SELECT pg_cancel_backend(pid) FROM ({_LEDGER}) AS ledger")


def _use_up_connections(context: FaultContext) -> None:
    """Use up every connection, including those of workers, and each one that becomes free meanwhile."""
    taken: list[psycopg.Connection[Any]] = []

    def none_is_left() -> bool:
        try:
            taken.append(psycopg.connect(context.kvitto.database, autocommit=True))
        except psycopg.OperationalError as error:
            return "too many clients" in str(error)
        return False

    try:
        eventually(none_is_left, "every connection taken", 60)
        taken[0].execute(f"SELECT pg_terminate_backend(pid) FROM ({_LEDGER}) AS ledger")
        until = time.monotonic() + (10 if context.full else 3)
        while time.monotonic() < until:
            if none_is_left():
                time.sleep(0.05)
        eventually(none_is_left, "every connection taken to the end", 60)
    finally:
        for connection in taken:
            connection.close()


def _lock_for_long(context: FaultContext) -> None:
    """Hold the lock that workers need for longer than they wait for it."""
    with _session(context) as connection, connection.transaction():
        connection.execute(_LOCK)
        context.hold(2.5, 22)


def _deadlock(context: FaultContext) -> None:
    """Wait for a worker's lock while holding the one it needs next; the worker is the one that is cancelled."""
    for _ in context.repeat(quick=1, full=4, every=0.2):
        with _session(context) as connection:
            before = _deadlocks(connection)
            connection.execute("SET deadlock_timeout = '60s'")  # the worker detects the deadlock, after a second
            with connection.transaction():
                connection.execute("LOCK TABLE kvitto.receipts IN ACCESS EXCLUSIVE MODE")
                eventually(lambda: _is_waited_for(connection), "a worker that waits", 30)
                connection.execute(_LOCK)
            eventually(lambda: _deadlocks(connection) > before, "a deadlock counted")  # noqa: B023 - called at once


def _is_waited_for(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the worker that holds Kompar's lock waits for the table; others may wait for it, too."""
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


def _make_read_only(context: FaultContext) -> None:
    """Refuse writes, as a standby does."""
    with _session(context) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            context.hold(2.5, 8)
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


def _fill_disk(context: FaultContext) -> None:
    """Let no file grow beyond a few pages: the next write to the WAL fails, and the server crashes and recovers."""
    for _ in context.repeat(quick=1, full=3, every=1):
        pids = [*_ledger_backends(context), *children(context, POSTGRES)]
        for pid in pids:
            let_no_file_grow(pid, beyond=64 * 1024)
        eventually(lambda: not any(map(process_tree.is_running, pids)), "a crash because the disk is full")  # noqa: B023 - at once


FAULTS = [
    Fault("postgres backend killed, recovery", _kill_backends),
    Fault("postgres backends frozen", _freeze_backends),
    Fault("postgres sessions terminated", _terminate_sessions),
    Fault("postgres statements cancelled", _cancel_statements),
    Fault("postgres out of connections", _use_up_connections),
    Fault("postgres lock held past its time-out", _lock_for_long),
    Fault("postgres deadlocks", _deadlock),
    Fault("postgres read-only", _make_read_only),
    Fault("postgres disk full", _fill_disk),
]
