"""Applies the migrations, files named NNNN_subject.sql, each once and in order. They create the roles of processes."""

import re
from collections.abc import Iterable
from importlib.resources import files

from psycopg.sql import SQL, Identifier, Literal

from app.storage.connection import Connection, fetch_one

ROLES = ("kvitto_ingest", "kvitto_worker", "kvitto_console", "kvitto_dashboard", "kvitto_analyst")
_FOLDER = files("app.storage") / "migrations"
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
# Any number that nothing else locks: two processes that start together migrate one after the other.
_LOCK = 0x6B7669


def pending(connection: Connection) -> list[str]:
    """Return the names of the migrations that the database lacks, in order."""
    names = sorted(item.name for item in _FOLDER.iterdir() if _FILE_NAME.fullmatch(item.name))
    if fetch_one(connection, "SELECT to_regclass('public.kvitto_migrations') AS found").found is None:
        return names
    applied = {row.name for row in connection.execute("SELECT name FROM public.kvitto_migrations")}
    return [name for name in names if name not in applied]


def migrate(connection: Connection) -> list[str]:
    """Apply all pending migrations in one transaction; return their names."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS public.kvitto_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        names = pending(connection)
        for name in names:
            connection.execute(_FOLDER.joinpath(name).read_bytes())
            connection.execute("INSERT INTO public.kvitto_migrations (name) VALUES (%s)", [name])
    return names


def set_passwords(connection: Connection, passwords: Iterable[tuple[str, str]]) -> None:
    """Set passwords, by role. Only SCRAM verifiers leave this process, so that no log can quote a password."""
    for role, password in passwords:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        query = SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(verifier.decode()))
        connection.execute(query)
