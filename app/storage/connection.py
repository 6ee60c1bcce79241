"""Connections to Postgres, and what its errors mean."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import orjson
import psycopg
import psycopg.errors
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import set_json_dumps

from app.errors import DataRejectedError, StoreUnavailableError
from app.storage.primary import PrimaryConnection, connection_arguments, require_address
from config.checks import postgres
from config.checks.result import CheckResult, fault, only_faults, without
from config.environment import ConfigurationError
from config.secret_files import current_url

Connection = psycopg.Connection[Any]
Query = LiteralString | SQL | Composed

# What every session has. `kvitto migrate` sets it for the database: a pooler may drop the options of a connection.
SESSION = {
    "search_path": "kvitto",
    # Python compares two times of one zone by their wall clocks: wrongly, in the hour that autumn repeats.
    "timezone": "UTC",
    # The provider's lock relies on it: each statement sees what the transaction before it in the queue committed.
    "default_transaction_isolation": "read committed",
}
# The reason of a server that takes no writes: a standby, or one set to read-only.
READ_ONLY = "postgres-read-only"
# The reason of a server or pooler whose sessions are not what Kvitto needs.
MISCONFIGURED = "postgres-misconfigured"
# The reason of a role that may not do what its process does.
NO_PERMISSION = "postgres-no-permission"

# The same, as a statement's error says it.
_READ_ONLY_STATE = "25006"
# What an operator should read instead of a SQLSTATE alone.
_CAUSES = {
    "53100": "its disk is full",
    "53200": "it has no memory left",
    "53300": "it has no connection left",
}
# insufficient_privilege: any other delivery would fail like this one.
_NO_PERMISSION_STATE = "42501"
# How a pooler (SQLSTATE 08P01) and the server refuse an option at the start of a session: waiting does not help.
_REFUSED_OPTION = re.compile(
    r"(?:unsupported startup parameter|unrecognized configuration parameter|invalid value for parameter)\W+(\w+)"
)
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


def connect(dsn: str, name: str) -> Connection:
    """Return a connection to the primary in autocommit mode, whose every wait ends.

    Raises:
        StoreUnavailableError: Postgres cannot be reached, or takes no writes.
        ConfigurationError: `dsn` is not an address, or a server or pooler will never accept its options.
    """
    require_address(dsn)
    try:
        return PrimaryConnection.connect(dsn, **connection_arguments(name))
    except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
        if refused := _REFUSED_OPTION.search(str(error)):
            problem = f"holds an option that the server or a pooler before it refuses: {refused[1]}"
            raise ConfigurationError(
                [fault("DATABASE_URL", problem, "Remove it, or name the server itself")]
            ) from error
        raise _unavailable(error) from error


def connect_to_read(dsn: str, name: str) -> Connection:
    """Return a connection to the first host that answers, which may take no writes; raises what `connect` does."""
    require_address(dsn)
    try:
        return psycopg.connect(current_url("DATABASE_URL", dsn), **connection_arguments(name))
    except psycopg.OperationalError as error:
        raise _unavailable(error) from error


@contextmanager
def session(dsn: str, name: str) -> Iterator[Connection]:
    """Connect for the duration of an operator's command; errors say how to fix the cause.

    Raises:
        StoreUnavailableError: Postgres cannot be reached, or stopped answering.
        ConfigurationError: The database lacks the schema, or the role lacks the privileges.
    """
    with translate_errors(), connect(dsn, name) as connection:
        try:
            yield connection
        except (
            psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName
        ) as error:  # fmt: skip
            raise ConfigurationError([_why_undefined(connection)]) from error
        except psycopg.errors.InsufficientPrivilege as error:
            # The text of this error names the object, and quotes no value.
            problem = f"names a role that may not do this ({error.diag.message_primary})"
            raise ConfigurationError([fault("DATABASE_URL", problem, "Name one that may")]) from error


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """Open a transaction whose statements may take minutes: for an operator who waits."""
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = '10min'")
        yield


def _why_undefined(connection: Connection) -> CheckResult:
    """Return why a session does not see Kvitto's tables."""
    if _lacks_usage(connection):
        return fault("DATABASE_URL", "names a role that may not do this (use the schema kvitto)", "Name one that may")
    has_schema = fetch_one(connection, "SELECT to_regnamespace('kvitto') IS NOT NULL AS found").found
    if has_schema and (faults := session_errors(connection)):
        return faults[0]
    hint = "Run: kvitto migrate; or name the database that has it"
    return fault("DATABASE_URL", "leads to no up-to-date schema of Kvitto", hint)


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
        if state[:2] in _SERVER or state == _NO_PERMISSION_STATE or is_lost:
            raise _unavailable(error) from error
        raise


@contextmanager
def borrow(connection: Connection) -> Iterator[None]:
    """Translate the errors of work on a connection. Close it if its server takes no writes (any more).

    A former primary keeps its connections after a fail-over; the next connection leads to the new primary.
    """
    try:
        with translate_errors():
            yield
    except StoreUnavailableError as error:
        if error.reason == READ_ONLY:
            connection.close()
        raise
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
        if _lacks_usage(connection):
            raise StoreUnavailableError(NO_PERMISSION, "permission denied for schema kvitto") from error
        raise


def _unavailable(error: psycopg.Error) -> StoreUnavailableError:
    state, message = error.sqlstate or "", str(error)
    if state == _READ_ONLY_STATE:
        return StoreUnavailableError(READ_ONLY)
    if state == _NO_PERMISSION_STATE:  # the text of this error names the object, and quotes no value
        return StoreUnavailableError(NO_PERMISSION, error.diag.message_primary or "")
    detail = f"{_CAUSES[state]} ({state})" if state in _CAUSES else state or _connection_failure(message)
    return StoreUnavailableError("postgres-unavailable", detail)


def _connection_failure(message: str) -> str:
    """Return why a connection failed, in our own words: the driver's may quote a part of the address."""
    if "password" in message or "pg_hba.conf" in message:
        return "wrong user or password"
    is_unknown = (
        message.rstrip().endswith("does not exist") or "no such database" in message or "no such user" in message
    )
    if "FATAL" in message and is_unknown:
        return "no such database or user"
    if "permission denied for database" in message:
        return "this user may not connect to this database"
    return "no connection"


def read_settings(connection: Connection, names: Iterable[str]) -> dict[str, Any]:
    """Return the server's settings by name."""
    return dict(connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)]))


def durability_errors(connection: Connection, exceptions: Collection[str] = ()) -> list[CheckResult]:
    """Return which of the server's settings could lose a commit; `exceptions` are `postgres.setting`."""
    return without(postgres.unsafe_settings(read_settings(connection, postgres.DURABILITY_SETTINGS)), exceptions)


def read_session(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return by name what a session of this role should have, and what this one has.

    It should have what every session has, and what `kvitto migrate` set for its role in this database.
    """
    query = """
        SELECT option_name, option_value FROM pg_db_role_setting
        JOIN pg_database ON pg_database.oid = setdatabase CROSS JOIN LATERAL pg_options_to_table(setconfig)
        WHERE datname = current_database() AND setrole = session_user::regrole
    """
    wanted = dict(connection.execute(query)) | SESSION
    query = "SELECT name, current_setting(name, true) FROM unnest(%s::text[]) AS name"
    actual = dict(connection.execute(query, [list(wanted)]))
    return {name: (value, actual[name] or "") for name, value in wanted.items()}


def session_errors(connection: Connection) -> list[CheckResult]:
    """Return what this session lacks of what it should have."""
    return only_faults([postgres.session(read_session(connection))])
