"""The Postgres server: its settings and its state, for the rules in config.checks.postgres."""

import time
from collections.abc import Collection
from contextlib import suppress
from datetime import date
from typing import Any

from psycopg.errors import InsufficientPrivilege

from app.errors import StoreUnavailableError
from app.storage import partitions
from app.storage.connection import (
    READ_ONLY,
    Connection,
    connect,
    connect_to_read,
    fetch_one,
    read_session,
    read_settings,
)
from app.storage.migration_runner import pending
from app.storage.usability import read_privileges
from config.checks import postgres
from config.checks.result import Facts


def server_message(error: StoreUnavailableError) -> str:
    """Return the server's own message, if there is one; of the address it may quote user and database, no password."""
    message = str(error.__cause__).partition("\n")[0]
    return message.rpartition("failed: ")[2] if "connection to server at" in message else error.detail


def connect_to_any(dsn: str) -> Connection:
    """Connect to the primary, else to a server that takes no writes, to report what it is."""
    try:
        return connect(dsn, "check")
    except StoreUnavailableError as error:
        if error.reason != READ_ONLY:
            raise
    return connect_to_read(dsn, "check")


def _read_collation(connection: Connection) -> tuple[str, str]:
    """Return the version of the database's collation when it was made, and now; empty if it has none.

    The server itself warns of a difference in every new session, before a client can listen.
    """
    query = """
        SELECT coalesce(datcollversion, '') AS recorded, coalesce(pg_database_collation_actual_version(oid), '') AS now
        FROM pg_database WHERE datname = current_database()
    """
    row = fetch_one(connection, query)
    return row.recorded, row.now


def server_info(connection: Connection, processes: Collection[str]) -> Facts:
    """Return the server's settings by name, and its state, for config.checks.postgres.

    Beside its settings' names: `in_recovery`, `connections`, `pending` migrations, None if this role may not read them,
    `clock`, seconds by which it differs from this machine's at least, `session`: what each setting of the session
    should be and is, `privileges`: of this role, with what it lacks of what each of `processes` needs, `collation`: the
    version of the database's collation, as recorded and as the server has it now, and `partitions`: see
    `partitions.state`, None if this role may not read it.
    """
    before = time.time()
    query = """
        SELECT pg_is_in_recovery() AS in_recovery,
               (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,  -- every role may read it
               extract(epoch FROM clock_timestamp())::double precision AS clock
    """
    state: dict[str, Any] = fetch_one(connection, query)._asdict()
    state["clock"] = max(0.0, before - state["clock"], state["clock"] - time.time())
    state["session"] = read_session(connection)
    state["collation"] = _read_collation(connection)
    state["pending"] = _pending(connection)
    state["privileges"] = read_privileges(connection, processes)
    state["partitions"] = _partitions(connection) if state["pending"] == [] else None
    return read_settings(connection, postgres.SETTINGS) | state


def _pending(connection: Connection) -> list[str] | None:
    """Return the pending migrations, None if this role may not read which were applied."""
    with suppress(InsufficientPrivilege):
        return pending(connection)
    return None


def _partitions(connection: Connection) -> tuple[bool, date, date] | None:
    # Asked first: a failed call would be an error in the log of Postgres at each start of ingest and console.
    query = "SELECT has_function_privilege('kvitto.partition_state()', 'EXECUTE') AS may_read"
    return partitions.state(connection) if fetch_one(connection, query).may_read else None
