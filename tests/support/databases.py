"""Databases on a test's Postgres, each as the migrations leave it."""

import psycopg
from psycopg.sql import SQL, Identifier
from uuid_utils.compat import uuid7

from app.storage.connection import connect, create_database
from app.storage.migration_runner import migrate
from app.storage.roles import set_defaults

_TEMPLATE = "template_kvitto"


def prepare(server: str) -> None:
    """Migrate a database that others are copies of."""
    create_database(server, _TEMPLATE)
    with connect(named(server, _TEMPLATE), "test") as connection:
        migrate(connection)


def create(server: str) -> str:
    """Create a database under a name that none had before: fixtures may be made again. Return its address."""
    name = f"test_{uuid7().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(_TEMPLATE)))
        set_defaults(connection, name)  # which no copy inherits
    return named(server, name)


def drop(server: str, dsn: str) -> None:
    """Drop a database, even while it is used."""
    name = Identifier(dsn.rpartition("/")[2])
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def named(server: str, name: str) -> str:
    """Return the address of a server's database."""
    return f"{server.rpartition('/')[0]}/{name}"
