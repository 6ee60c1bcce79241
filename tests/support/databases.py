"""Databases on a test's Postgres, each as the migrations leave it.

Creating and dropping one takes a quarter of a second of CPU time, so a database that a test has only filled is emptied
and handed out again. It gets another name, so that connections and pools of the earlier test do not reach it. What
creates and drops databases stays connected to its server, until `leave`.
"""

from functools import cache

import psycopg
from psycopg.sql import SQL, Identifier, Literal
from uuid_utils.compat import uuid7

from app.storage.connection import connect, create_database
from app.storage.migration_runner import migrate
from app.storage.roles import set_defaults
from tests.support import tables

_TEMPLATE = "template_kvitto"
_SPARE = "spare_"
_administrators: dict[str, psycopg.Connection] = {}  # by server
# What a test may have changed beside rows: whatever is here, by number and by the latest transaction that wrote one.
_CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_description", "pg_extension",
    "pg_index", "pg_policy", "pg_proc", "pg_rewrite", "pg_sequence", "pg_statistic", "pg_trigger", "pg_type",
    "public.kvitto_migrations",
)  # fmt: skip
_CHANGES = "".join(
    f"SELECT '{catalog}', concat(count(*), ' ', max(xmin::text::bigint)) FROM {catalog} UNION ALL "
    for catalog in _CATALOGS
)
_STATE = f"""
    {_CHANGES}
    SELECT nspname, nspacl::text FROM pg_namespace WHERE NOT starts_with(nspname, 'pg_')
    UNION ALL SELECT 'settings of ' || setrole, setconfig::text
              FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase WHERE datname = current_database()
    UNION ALL SELECT 'owner and privileges', concat(datdba, datacl) FROM pg_database WHERE datname = current_database()
    ORDER BY 1
"""


def prepare(server: str) -> None:
    """Migrate a database that others are copies of."""
    create_database(server, _TEMPLATE)
    with connect(named(server, _TEMPLATE), "test") as connection:
        migrate(connection)


def create(server: str) -> str:
    """Return the address of a database whose name none had before: fixtures may be made again."""
    name = f"test_{uuid7().hex}"
    connection = _administrator(server)
    query = SQL("SELECT datname FROM pg_database WHERE starts_with(datname, {}) LIMIT 1")
    if spare := connection.execute(query.format(Literal(_SPARE))).fetchone():
        _rename(connection, spare[0], name)
    else:
        _copy(connection, name)
    return named(server, name)


def drop(server: str, dsn: str) -> None:
    """Take a database back, even while it is used: keep it if it can be emptied, else drop it."""
    name = dsn.rpartition("/")[2]
    spare = f"{_SPARE}{name}"
    connection = _administrator(server)
    connection.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(Identifier(name)))
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    _rename(connection, name, spare)  # which waits for those to end
    connection.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(spare)))
    if not _emptied(server, spare):
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(spare)))


def leave(server: str) -> None:
    """Disconnect from a server that ends."""
    if connection := _administrators.pop(server, None):
        connection.close()


def named(server: str, name: str) -> str:
    """Return the address of a server's database."""
    return f"{server.rpartition('/')[0]}/{name}"


def _administrator(server: str) -> psycopg.Connection:
    found = _administrators.get(server)
    if found is None or found.closed:
        found = _administrators[server] = psycopg.connect(server, autocommit=True)
    return found


def _copy(connection: psycopg.Connection, name: str) -> None:
    connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(_TEMPLATE)))
    set_defaults(connection, name)  # which no copy inherits


def _rename(connection: psycopg.Connection, old: str, new: str) -> None:
    connection.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(old), Identifier(new)))


def _emptied(server: str, name: str) -> bool:
    """Empty a database; return whether nothing else was changed in it."""
    with psycopg.connect(named(server, name), autocommit=True) as connection:
        if _state(connection) != _state_of_a_copy(server):
            return False
        tables.clear(connection)
        return True


@cache
def _state_of_a_copy(server: str) -> list[tuple[str, str]]:
    spare = f"{_SPARE}{uuid7().hex}"
    _copy(_administrator(server), spare)
    with psycopg.connect(named(server, spare)) as connection:
        return _state(connection)


def _state(connection: psycopg.Connection) -> list[tuple[str, str]]:
    return [tuple(row) for row in connection.execute(_STATE.encode())]
