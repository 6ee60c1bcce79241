"""The Postgres server: its settings and state, and why a process must not start on it."""

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from app.errors import StoreUnavailableError
from app.storage.connection import SESSION, Connection, durability_errors, fetch_one, read_settings
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


def startup_errors(connection: Connection, exceptions: Collection[str]) -> list[CheckResult]:
    """Return why a process must not start on this server."""
    settings = read_settings(connection, postgres.SETTINGS)
    results = [*postgres.blocking_problems(settings), postgres.migrations(_pending(connection))]
    return only_faults(results) + durability_errors(connection, exceptions)


def server_info(connection: Connection) -> Facts:
    """Return the server's settings by name, and its state, for config.checks.postgres.

    Beside its settings' names: `in_recovery`, `superuser`, `owner`, `connections`, `pending` migrations, `clock`,
    seconds by which it differs from this machine's at least, and `session`: what each of the session's settings should
    be and is, since a pooler may drop requests.
    """
    before = time.time()
    query = """
        SELECT pg_is_in_recovery() AS in_recovery,
               current_setting('is_superuser')::boolean AS superuser,
               coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'kvitto'), false)
                   AS owner,
               (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections,  -- every role may read it
               extract(epoch FROM clock_timestamp())::double precision AS clock
    """
    state: dict[str, Any] = fetch_one(connection, query)._asdict()
    state["clock"] = max(0.0, before - state["clock"], state["clock"] - time.time())
    query = "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name"
    actual = dict(connection.execute(query, [list(SESSION)]))
    state["session"] = {name: (value.replace("\\ ", " "), actual[name]) for name, value in SESSION.items()}
    return read_settings(connection, postgres.SETTINGS) | state | {"pending": _pending(connection)}


def _pending(connection: Connection) -> list[str] | None:
    """Return the pending migrations, None if this role may not read which were applied."""
    with suppress(InsufficientPrivilege):
        return pending(connection)
    return None
