"""Connections to Postgres, and what its errors mean."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import orjson
import psycopg
import psycopg.errors
from psycopg.rows import namedtuple_row
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import set_json_dumps

from app.errors import DataRejectedError, StoreUnavailableError
from config.checks import postgres
from config.checks.result import CheckResult, fault, without
from config.environment import ConfigurationError

Connection = psycopg.Connection[Any]
Query = LiteralString | SQL | Composed

SESSION = {
    "search_path": "kvitto",
    # Python compares two times of one zone by their wall clocks: wrongly, in the hour that autumn repeats.
    "timezone": "UTC",
    # The provider's lock relies on it: each statement sees what the transaction before it in the queue committed.
    "default_transaction_isolation": "read\\ committed",
    # In this order, and all before a task's soft time limit: the server gives up first, and says why.
    "lock_timeout": "8s",
    "statement_timeout": "12s",
    "idle_in_transaction_session_timeout": "15s",
}

_WRONG_ROLE = fault("DATABASE_URL", "names a role that may not do this", "Name one that may")

# SQLSTATE classes. 22 data, 23 integrity, 54 limits exceeded: the data's fault.
_DATA = frozenset({"22", "23", "54"})
# 08 connection, 25 transaction state, 40 rollback, 53 resources, 55 not now, 57 operator, 58 system: the server's.
_SERVER = frozenset({"08", "25", "40", "53", "55", "57", "58"})


def _to_json(document: Any) -> bytes:
    """Return a document as JSON; times and ids in it are written as Postgres reads them."""
    try:
        return orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits: Postgres keeps it, orjson does not write it
        return json.dumps(document, default=str).encode()


set_json_dumps(_to_json)


def connect(dsn: str, name: str, **session: str) -> Connection:
    """Return a connection in autocommit mode, whose every wait ends; `session` overrides session settings.

    Raises:
        StoreUnavailableError: Postgres cannot be reached.
        ConfigurationError: `dsn` is not an address.
    """
    try:
        with translate_errors():
            return psycopg.connect(dsn, **connection_arguments(name, **session))
    except psycopg.ProgrammingError as error:  # its text quotes the address, password included
        hint = "Write it like postgresql://user:password@host/name, special characters as %XX"
        raise ConfigurationError([fault("DATABASE_URL", "cannot be read as an address", hint)]) from error


def connection_arguments(name: str, **session: str) -> dict[str, Any]:
    """Return the arguments of every connection; `session` overrides session settings."""
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


@contextmanager
def session(dsn: str, name: str, statement_timeout: str = "10min", **more: str) -> Iterator[Connection]:
    """Connect for the duration of an operator's command, which may wait; errors say how to fix the cause.

    Raises:
        StoreUnavailableError: Postgres cannot be reached, or stopped answering.
        ConfigurationError: The database lacks the schema, or the role lacks the privileges.
    """
    settings = {"statement_timeout": statement_timeout} | more
    with translate_errors(), connect(dsn, name, **settings) as connection:
        try:
            yield connection
        except (
            psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName
        ) as error:  # fmt: skip
            if _lacks_usage(connection):
                raise ConfigurationError([_WRONG_ROLE]) from error
            hint = "Run: kvitto migrate; or name the database that has it"
            missing = fault("DATABASE_URL", "leads to no up-to-date schema of Kvitto", hint)
            raise ConfigurationError([missing]) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise ConfigurationError([_WRONG_ROLE]) from error


def _lacks_usage(connection: Connection) -> bool:
    """Return whether the schema exists but this role may not use it: its tables then appear to be missing."""
    query = "SELECT FROM pg_namespace WHERE nspname = 'kvitto' AND NOT has_schema_privilege(oid, 'USAGE')"
    return connection.execute(query).rowcount == 1


def fetch_one(connection: Connection, query: Query, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
    """Return the row of a query that always returns one: an aggregate, or an INSERT with RETURNING."""
    row = connection.execute(query, parameters).fetchone()
    if row is None:
        raise LookupError("Postgres returned no row for a query that always returns one")
    return row


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of at least one row: psycopg writes a binary array six times as fast as rows of text."""
    return [list(column) for column in zip(*rows, strict=True)]


def create_database(dsn: str, name: str) -> None:
    """Create the database unless it exists; `dsn` names another one on the same server."""
    with connect(dsn, "create-database") as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate errors of Postgres by whose fault they are; ours are raised unchanged.

    Raises:
        DataRejectedError: A row cannot be stored. `detail` is SQLSTATE and constraint, since messages quote values.
        StoreUnavailableError: The server cannot do it now.
    """
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state[:2] in _DATA:
            raise DataRejectedError(state, error.diag.constraint_name or "") from error
        # No answer came. A statement behind a failed one in a pipeline has no SQLSTATE either.
        is_aborted = isinstance(error, psycopg.errors.PipelineAborted)
        is_lost = error.sqlstate is None and isinstance(error, psycopg.OperationalError) and not is_aborted
        if state[:2] in _SERVER or is_lost:
            raise StoreUnavailableError("postgres-unavailable", state or _connection_failure(error)) from error
        raise


def _connection_failure(error: psycopg.Error) -> str:
    """Return why a connection failed, in our own words: the driver's may quote a part of the address."""
    message = str(error)
    if "password" in message or "pg_hba.conf" in message:
        return "wrong user or password"
    if "FATAL" in message and message.rstrip().endswith("does not exist"):
        return "no such database or user"
    return "no connection"


def read_settings(connection: Connection, names: Iterable[str]) -> dict[str, Any]:
    """Return the server's settings by name."""
    return dict(connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)]))


def durability_errors(connection: Connection, exceptions: Collection[str] = ()) -> list[CheckResult]:
    """Return which of the server's settings could lose a commit; `exceptions` are `postgres.setting`."""
    return without(postgres.unsafe_settings(read_settings(connection, postgres.DURABILITY_SETTINGS)), exceptions)


def require_writable(connection: Connection) -> None:
    """Raise StoreUnavailableError if the server accepts no writes: a standby, or one set to read-only."""
    if fetch_one(connection, "SELECT current_setting('transaction_read_only') = 'on' AS read_only").read_only:
        raise StoreUnavailableError("postgres-read-only")
