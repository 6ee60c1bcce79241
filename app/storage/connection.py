"""Connections to Postgres, and what its failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg.errors
import psycopg.sql
from psycopg.rows import namedtuple_row

from app.errors import DataRejectedError, StoreUnavailableError
from config.checks.result import CheckResult, fault
from config.checks.startup import POSTGRES_SETTINGS, postgres_faults
from config.environment import ConfigurationError

Connection = psycopg.Connection[Any]

SESSION = {
    "search_path": "kvitto",
    # Python takes two times of one zone by their wall clocks: in the hour that autumn repeats, wrongly.
    "timezone": "UTC",
    # What the provider's lock relies on: each statement sees what the one before it in the queue committed.
    "default_transaction_isolation": "read\\ committed",
    # In this order, and all before a task's soft time limit: the server gives up first, and says why.
    "lock_timeout": "8s",
    "statement_timeout": "12s",
    "idle_in_transaction_session_timeout": "15s",
}

_WRONG_ROLE = fault("DATABASE_URL", "names a role that may not do this", "Name one that may")

# SQLSTATE classes. 22 data, 23 integrity, 54 limits exceeded: the data's fault.
_DATA = frozenset({"22", "23", "54"})
# 08 connection, 25 transaction state, 40 rollback, 53 resources, 55 not now, 57 operator, 58 system.
_SERVER = frozenset({"08", "25", "40", "53", "55", "57", "58"})


def connect(dsn: str, name: str, **session: str) -> Connection:
    """Return a connection that commits by itself outside `transaction()` and waits for nothing for ever.

    Raises:
        StoreUnavailableError: Postgres cannot be reached.
        ConfigurationError: `dsn` is no address.
    """
    try:
        with translate_errors():
            return psycopg.connect(dsn, **arguments(name, **session))
    except psycopg.ProgrammingError as error:  # its text quotes the address, password and all
        mend = "Write it like postgresql://user:password@host/name, special characters as %XX"
        raise ConfigurationError([fault("DATABASE_URL", "cannot be read as an address", mend)]) from error


@contextmanager
def session(dsn: str, name: str, statement_timeout: str = "10min", **more: str) -> Iterator[Connection]:
    """Connect for the duration of a block, and say how to mend whatever fails in it; who asks can wait a while.

    Raises:
        StoreUnavailableError: Postgres cannot be reached, or not any more.
        ConfigurationError: It is reached, and lacks the schema or the privileges.
    """
    settings = {"statement_timeout": statement_timeout} | more
    with translate_errors(), connect(dsn, name, **settings) as connection, _mended(connection):
        yield connection


@contextmanager
def _mended(connection: Connection) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as error:
        if _is_closed_to_us(connection):
            raise ConfigurationError([_WRONG_ROLE]) from error
        mend = "Run: kvitto migrate; or name the database that has it"
        raise ConfigurationError([fault("DATABASE_URL", "leads to no up-to-date schema of Kvitto", mend)]) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError([_WRONG_ROLE]) from error


def _is_closed_to_us(connection: Connection) -> bool:
    """Tell whether the schema is there and not this role's to use: its tables then look as if they were missing."""
    query = "SELECT FROM pg_namespace WHERE nspname = 'kvitto' AND NOT has_schema_privilege(oid, 'USAGE')"
    return connection.execute(query).rowcount == 1


def arguments(name: str, **session: str) -> dict[str, Any]:
    """Return what every connection is made with; `session` overrides settings of its session."""
    return {
        "autocommit": True,
        "row_factory": namedtuple_row,
        "client_encoding": "utf8",  # under SQL_ASCII, texts would be bytes
        "connect_timeout": 3,
        "application_name": f"kvitto-{name}",
        "options": " ".join(f"-c {setting}={value}" for setting, value in (SESSION | session).items()),
        "keepalives_idle": 10,
        "tcp_user_timeout": 10_000,
    }


def create_database(dsn: str, name: str) -> None:
    """Create the database unless it is there; `dsn` names another one of the same server."""
    with connect(dsn, "create-database") as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
        if found is None:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


@contextmanager
def translate_errors() -> Iterator[None]:
    """Sort what Postgres raises: the data's fault, the server's, or ours (left as it is).

    Raises:
        DataRejectedError: Some row cannot be stored; SQLSTATE and constraint only, since the message quotes values.
        StoreUnavailableError: The server cannot now.
    """
    try:
        yield
    except psycopg.Error as error:
        kind = (error.sqlstate or "")[:2]
        if kind in _DATA:
            raise DataRejectedError(error.sqlstate or "", error.diag.constraint_name or "") from error
        if kind in _SERVER or _is_connection_lost(error):
            raise StoreUnavailableError("postgres-unavailable", error.sqlstate or _told_by_server(error)) from error
        raise


def _is_connection_lost(error: psycopg.Error) -> bool:
    """Tell whether no answer came. A statement behind a failed one in the pipeline has no SQLSTATE either."""
    aborted = isinstance(error, psycopg.errors.PipelineAborted)
    return error.sqlstate is None and isinstance(error, psycopg.OperationalError) and not aborted


def _told_by_server(error: psycopg.Error) -> str:
    """Say why a connection was refused, in words of our own: the driver's may quote a part of the address."""
    said = str(error)
    if "password" in said or "pg_hba.conf" in said:
        return "wrong user or password"
    if "FATAL" in said and said.rstrip().endswith("does not exist"):
        return "no such database or user"
    return "no connection"


@contextmanager
def borrow(connection: Connection) -> Iterator[Connection]:
    """Lend a connection that stays its owner's; what Postgres raises meanwhile is sorted."""
    with translate_errors():
        yield connection


def durability_errors(connection: Connection) -> list[CheckResult]:
    """Return what in the server's settings could lose a commit."""
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(POSTGRES_SETTINGS)]
    ).fetchall()
    return postgres_faults({row.name: row.setting for row in rows})


def require_writable(connection: Connection) -> None:
    """Raise StoreUnavailableError if the server takes no writes: a standby, or one set so."""
    row = connection.execute("SELECT current_setting('transaction_read_only') = 'on' AS it").fetchone()
    if row is not None and row.it:
        raise StoreUnavailableError("postgres-read-only")
