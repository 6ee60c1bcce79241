"""Applies the migrations, files named NNNN_subject.sql, each once and in order. They create the roles of processes."""

import logging
import re
from collections.abc import Sequence
from importlib.resources import files

import psycopg
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from app.errors import StoreUnavailableError
from app.storage import partitions, roles
from app.storage.connection import Connection, fetch_one, patient
from config.declarations import DEFAULTS
from config.environment import ConfigurationError

_FOLDER = files("app.storage") / "migrations"
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
# For how long a migration is tried again while tables are in use, and how long deliveries may pass between two tries.
_LOCKED_SECONDS, _PAUSE_SECONDS = 120, 2
# Any number that nothing else locks: two processes that start together migrate one after the other.
_LOCK = 0x6B7669
# How a migration writes a role: `kvitto` stands for the installation's prefix.
_ROLE = re.compile(rb"\bkvitto_(?=(?:ingest|worker|console|dashboard|analyst|consumer|privacy)\b)")
_PREFIX = DEFAULTS["ROLE_PREFIX"]
logger = logging.getLogger(__name__)


def pending(connection: Connection) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    names = sorted(item.name for item in _FOLDER.iterdir() if _FILE_NAME.fullmatch(item.name))
    if fetch_one(connection, "SELECT to_regclass('public.kvitto_migrations') AS found").found is None:
        return names
    applied = {row.name for row in connection.execute("SELECT name FROM public.kvitto_migrations")}
    return [name for name in names if name not in applied]


def migrate(connection: Connection, prefix: str = _PREFIX, passwords: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Apply all pending migrations, make the roles and set their passwords, or nothing of it.

    Return the names of the migrations. A table that is in use is tried again: a statement that waits for a table keeps
    all later ones from it, deliveries included, so no wait is longer than three seconds.

    Raises:
        ConfigurationError: This role lacks a privilege, or another database uses the roles.
        StoreUnavailableError: A table was in use all the time, or another migration ran.
    """
    tries = Retrying(
        retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
        stop=stop_after_delay(_LOCKED_SECONDS),
        wait=wait_fixed(_PAUSE_SECONDS),
        before_sleep=lambda _: logger.warning("migration_postponed", extra={"reason": "a table is in use"}),
    )
    try:
        return tries(_migrate, connection, prefix, passwords)
    except RetryError as error:
        raise StoreUnavailableError("postgres-locked", f"a table was in use for {_LOCKED_SECONDS} s") from error


def _migrate(connection: Connection, prefix: str, passwords: Sequence[tuple[str, str]]) -> list[str]:
    with patient(connection):
        connection.execute("SET LOCAL lock_timeout = '3s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if problems := roles.migration_problems(connection, prefix, passwords):
            raise ConfigurationError(problems)
        roles.create(connection, prefix)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS public.kvitto_migrations"
            ' (name text COLLATE "C" PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())'
        )
        names = pending(connection)
        for name in names:
            statements = _FOLDER.joinpath(name).read_bytes()
            connection.execute(_ROLE.sub(f"{prefix}_".encode(), statements))
            connection.execute("INSERT INTO public.kvitto_migrations (name) VALUES (%s)", [name])
        partitions.create(connection)
        roles.configure(connection, prefix, passwords)
    return names
