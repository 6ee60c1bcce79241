"""The server that holds the ledger: what it tells of itself, and why a process must not start on it."""

import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

from app.errors import Unavailable
from app.storage.connection import Connection, durability_faults
from app.storage.migrations import pending
from config import postgres_checks
from config.environment import Fault
from config.findings import Facts, to_faults


def is_address(dsn: str) -> bool:
    """Tell whether a server can be named like this; whether one is there is another question."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return False
    return True


def why(error: Unavailable) -> str:
    """Return the server's own words, if it said any; nothing that the address holds is among them."""
    said = str(error.__cause__).partition("\n")[0]
    return said.rpartition("failed: ")[2] if "connection to server at" in said else error.detail


def start_faults(connection: Connection, loss_accepted: bool) -> list[Fault]:
    """Return why a process must not start on this server."""
    findings = [*postgres_checks.unfit(_settings(connection)), postgres_checks.migrations(_pending(connection))]
    return to_faults(findings) + ([] if loss_accepted else durability_faults(connection))


def facts(connection: Connection) -> Facts:
    """Return what the server tells of itself, for config.postgres_checks.

    Beside its settings' names: `in_recovery`, `superuser`, `owner`, `connections`, `pending` migrations, and `clock`,
    seconds that it differs from this machine's.
    """
    return _settings(connection) | _state(connection) | {"pending": _pending(connection), "clock": _clock(connection)}


def _settings(connection: Connection) -> dict[str, Any]:
    query = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    return {row.name: row.setting for row in connection.execute(query, [list(postgres_checks.SETTINGS)])}


def _state(connection: Connection) -> dict[str, Any]:
    """Return the rest; databases count their connections for everyone to see."""
    (row,) = connection.execute(
        """
        SELECT pg_is_in_recovery() AS in_recovery,
               current_setting('is_superuser')::boolean AS superuser,
               coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'kvitto'), false)
                   AS owner,
               (SELECT sum(numbackends)::int FROM pg_stat_database) AS connections
        """
    )
    return dict(row._asdict())


def _pending(connection: Connection) -> list[str] | None:
    with suppress(InsufficientPrivilege):
        return pending(connection)
    return None


def _clock(connection: Connection) -> float:
    """Return how many seconds at least the server's clock differs from this machine's."""
    before = time.time()
    (row,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision AS now")
    now: float = row.now
    return max(0.0, before - now, now - time.time())
