"""Why a process must not use a session of Postgres any longer, or not at all."""

from collections.abc import Collection

from app.errors import StoreUnavailableError
from app.storage import privileges
from app.storage.connection import (
    MISCONFIGURED,
    NO_PERMISSION,
    READ_ONLY,
    Connection,
    durability_errors,
    fetch_one,
    session_errors,
)
from config.checks import postgres
from config.checks.postgres import Privileges
from config.checks.result import only_faults


def require_writable(connection: Connection) -> None:
    """Raise StoreUnavailableError if the server accepts no writes: a standby, or one set to read-only."""
    if fetch_one(connection, "SELECT current_setting('transaction_read_only') = 'on' AS read_only").read_only:
        raise StoreUnavailableError(READ_ONLY)


def require_privileges(connection: Connection, process: str) -> None:
    """Raise StoreUnavailableError if this role lacks a privilege that `process` needs, now or later."""
    if faults := only_faults([postgres.privileges(read_privileges(connection, [process]))]):
        raise StoreUnavailableError(NO_PERMISSION, f"{faults[0].message}. {faults[0].hint}")


def require_durable(connection: Connection, exceptions: Collection[str]) -> None:
    """Raise StoreUnavailableError unless a commit here proves that a row is on disk, in the tables that are meant.

    `exceptions` are settings that need not be durable, as `postgres.setting`.
    """
    require_writable(connection)
    if faults := session_errors(connection):
        raise StoreUnavailableError(MISCONFIGURED, faults[0].message)
    if faults := durability_errors(connection, exceptions):
        raise StoreUnavailableError("postgres-not-durable", "; ".join(fault.name for fault in faults))


def read_privileges(connection: Connection, processes: Collection[str]) -> Privileges:
    """Return the privileges of this session's role, with what it lacks of what each process needs."""
    query = """
        SELECT current_user::text AS role, current_setting('is_superuser')::boolean AS is_superuser,
               coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'kvitto'), false)
                   AS is_owner
    """
    missing = {process: list(map(str, privileges.missing(connection, process))) for process in processes}
    return Privileges(**fetch_one(connection, query)._asdict(), missing=missing)
