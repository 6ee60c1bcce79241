"""The schema's history: NNNN_what.sql, applied once each, in order."""

import re
from importlib.resources import files

from app.storage.connection import Connection

_FOLDER = files("app.storage") / "migrations"
_NAME = re.compile(r"(\d{4})_\w+\.sql")
# Any number that nothing else locks: two processes that start together migrate one after the other.
_LOCK = 0x6B7669


def pending(connection: Connection) -> list[str]:
    """Return the names of migrations that the database lacks, in order."""
    found = connection.execute("SELECT to_regclass('public.kvitto_migrations') AS it").fetchone()
    if found is None or found.it is None:
        return _names()
    applied = {row.name for row in connection.execute("SELECT name FROM public.kvitto_migrations")}
    return [name for name in _names() if name not in applied]


def migrate(connection: Connection) -> list[str]:
    """Apply what is pending, all in one transaction; return the names of what was applied."""
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


def _names() -> list[str]:
    return sorted(item.name for item in _FOLDER.iterdir() if _NAME.fullmatch(item.name))
