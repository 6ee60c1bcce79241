"""Applies the migrations, files named NNNN_subject.sql, each once and in order. They create the roles of processes."""

import re
from collections.abc import Sequence
from importlib.resources import files

from app.storage import partitions, roles
from app.storage.connection import Connection, fetch_one, patient
from config.declarations import DEFAULTS
from config.environment import ConfigurationError

_FOLDER = files("app.storage") / "migrations"
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
# Any number that nothing else locks: two processes that start together migrate one after the other.
_LOCK = 0x6B7669
# How a migration writes a role: `kvitto` stands for the installation's prefix.
_ROLE = re.compile(rb"\bkvitto_(?=(?:ingest|worker|console|dashboard|analyst|consumer|privacy)\b)")
_PREFIX = DEFAULTS["ROLE_PREFIX"]


def pending(connection: Connection) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    names = sorted(item.name for item in _FOLDER.iterdir() if _FILE_NAME.fullmatch(item.name))
    if fetch_one(connection, "SELECT to_regclass('public.kvitto_migrations') AS found").found is None:
        return names
    applied = {row.name for row in connection.execute("SELECT name FROM public.kvitto_migrations")}
    return [name for name in names if name not in applied]


def migrate(connection: Connection, prefix: str = _PREFIX, passwords: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Apply all pending migrations, make the roles and set their passwords, or nothing of it.

    Return the names of the migrations.

    Raises:
        ConfigurationError: This role lacks a privilege, or another database uses the roles.
    """
    with patient(connection):
        connection.execute("SET LOCAL lock_timeout = '8s'")  # who waits for a table keeps all others from it
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
