"""Fixtures shared by all tests."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from app.inbox import server
from app.storage.connection import Connection, connect
from app.storage.migrations import migrate
from tests import servers
from tests.running import Running, running

TEMPLATE = "template_kvitto"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One PostgreSQL for the session, with a migrated template database."""
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        with connect(dsn.replace("/postgres", f"/{TEMPLATE}"), "test") as connection:
            migrate(connection)
        yield dsn


@pytest.fixture
def database(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgres_server.replace("/postgres", f"/{name}")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection to the fresh database."""
    with connect(database, "test") as found:
        yield found


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Valkey for the session."""
    with servers.valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def redis(valkey_server: str) -> Iterator[Redis]:
    """A client of an empty Valkey."""
    client = server.connect(valkey_server)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole of Kvitto, as `kvitto up` runs it, for tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("up") / "data") as found:
        yield found


@pytest.fixture
def fresh_kvitto(tmp_path: Path) -> Iterator[Running]:
    """The whole of Kvitto, for tests that break it."""
    with running(tmp_path / "data") as found:
        yield found
