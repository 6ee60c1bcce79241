"""A test's database is used again by another test only if it is as the migrations leave it."""

import psycopg
import pytest

from tests.support import databases
from tests.support.databases import named


def oid(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        (found,) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or ()
        return int(found)


def name_of(server: str, number: int) -> str | None:
    with psycopg.connect(server) as connection:
        row = connection.execute("SELECT datname FROM pg_database WHERE oid = %s", [number]).fetchone()
        return str(row[0]) if row else None


def test_a_database_that_was_filled_is_emptied_and_renamed(postgres_server: str) -> None:
    dsn = databases.create(postgres_server)
    number = oid(dsn)
    insert = """
        INSERT INTO overflow (receipt, provider, topic, headers, received_at)
        VALUES (gen_random_uuid(), 'kompar', 'decisions', '{}', now()) RETURNING seq
    """
    with psycopg.connect(dsn, autocommit=True) as still_connected:
        assert still_connected.execute(insert).fetchone() == (1,)
        databases.drop(postgres_server, dsn)
        with pytest.raises(psycopg.OperationalError):
            still_connected.execute(insert)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)
    kept = name_of(postgres_server, number)
    assert kept is not None
    with psycopg.connect(named(postgres_server, kept)) as connection:
        assert connection.execute("SELECT FROM overflow").rowcount == 0
        assert connection.execute(insert).fetchone() == (1,)
        connection.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE receipts ADD COLUMN more integer",
        "DROP VIEW reporting.audits",
        "CREATE SCHEMA other",
        "REVOKE SELECT ON receipts FROM kvitto_worker",
        "GRANT USAGE ON SCHEMA kvitto TO PUBLIC",
        "DELETE FROM public.kvitto_migrations",
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        "ALTER ROLE kvitto_worker IN DATABASE {} SET statement_timeout = 1",
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
    ],
)
def test_a_database_that_was_changed_otherwise_is_dropped(postgres_server: str, statement: str) -> None:
    dsn = databases.create(postgres_server)
    number = oid(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.format(dsn.rpartition("/")[2]).encode())
    databases.drop(postgres_server, dsn)
    assert name_of(postgres_server, number) is None
