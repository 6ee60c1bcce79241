"""The Postgres server: its settings and state, and why a process must not start on it."""

import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from app.errors import StoreUnavailableError
from app.storage.connection import SESSION, Connection, durability_errors, fetch_one
from app.storage.migration_runner import pending
from config.checks import postgres
from config.checks.result import CheckResult, Facts, only_faults


def is_address(dsn: str) -> bool:
    """Return whether `dsn` is a well-formed address; no server is asked."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return False
    return True


def server_message(error: StoreUnavailableError) -> str:
    """Return the server's own message, if there is one; it quotes nothing of the address."""
    message = str(error.__cause__).partition("\n")[0]
    return message.rpartition("failed: ")[2] if "connection to server at" in message else error.detail


def startup_errors(connection: Connection, allow_non_durable: bool) -> list[CheckResult]:
    """Return why a process must not start on this server."""
    results = [*postgres.blocking_problems(_settings(connection)), postgres.migrations(_pending(connection))]
    return only_faults(results) + ([] if allow_non_durable else durability_errors(connection))


def server_info(connection: Connection) -> Facts:
    """Return the server's settings by name, and its state, for config.checks.postgres.

    Beside its settings' names: `in_recovery`, `superuser`, `owner`, `connections`, `pending` migrations, `clock`,
    seconds that it differs from this machine's, and `session`, what the session's settings should be and are.
    """
    more = {"pending": _pending(connection), "clock": _clock(connection), "session": _session(connection)}
    return _settings(connection) | _state(connection) | more


def _session(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return (requested, actual) of each setting that every connection requests; a pooler may drop requests."""
    rows = connection.execute(
        "SELECT name, current_setting(name) AS it FROM unnest(%s::text[]) AS name", [list(SESSION)]
    )
    return {row.name: (SESSION[row.name].replace("\\ ", " "), row.it) for row in rows}


def _settings(connection: Connection) -> dict[str, Any]:
    query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    return {row.name: row.setting for row in connection.execute(query, [list(postgres.SETTINGS)])}


def _state(connection: Connection) -> dict[str, Any]:
    """Return the state that one query can read; every role may read how many connections there are."""
    row = fetch_one(
        connection,
        """
        SELECT pg_is_in_recovery() AS in_recovery,
               current_setting('is_superuser')::boolean AS superuser,
               coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'kvitto'), false)
                   AS owner,
               (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections
        """,
    )
    return dict(row._asdict())


def _pending(connection: Connection) -> list[str] | None:
    with suppress(InsufficientPrivilege):
        return pending(connection)
    return None


def _clock(connection: Connection) -> float:
    """Return by how many seconds at least the server's clock differs from this machine's."""
    before = time.time()
    now: float = fetch_one(connection, "SELECT extract(epoch FROM clock_timestamp())::double precision AS now").now
    return max(0.0, before - now, now - time.time())
