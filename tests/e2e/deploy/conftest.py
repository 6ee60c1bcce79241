"""Two ingest processes behind the balancer, for tests that leave them as they are."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from redis import Redis

from tests.e2e.deploy.balancer import Balancer, balancer
from tests.e2e.deploy.edges import Edge, edges
from tests.support import databases

SEALING_KEYS = f"a={base64.b64encode(b's' * 32).decode()}"


@dataclass(frozen=True, slots=True)
class Front:
    """The balancer, what stands behind it, and both stores beneath."""

    balancer: Balancer
    edges: list[Edge]
    redis: str
    database: str

    def kept(self) -> int:
        """Count what was ever kept of Kompar's: in its inbox, or in the overflow while Redis was slow."""
        with Redis.from_url(self.redis) as client, psycopg.connect(self.database) as connection:
            found: Any = client.xinfo_stream("inbox:kompar")
            overflowed = connection.execute("SELECT FROM kvitto.overflow WHERE provider = 'kompar'").rowcount
            return int(found["entries-added"]) + overflowed


@pytest.fixture(scope="module")
def ledger(postgres_server: str) -> Iterator[str]:
    """A migrated database for a module."""
    dsn = databases.create(postgres_server)
    yield dsn
    databases.drop(postgres_server, dsn)


@pytest.fixture(scope="module")
def edge_environment(valkey_server: str, ledger: str) -> dict[str, str]:
    """What an ingest process needs beside the providers' secrets."""
    return {"REDIS_URL": valkey_server, "DATABASE_URL": ledger, "SEALING_KEYS": SEALING_KEYS}


@pytest.fixture(scope="module")
def front(edge_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Both ingest processes behind Caddy."""
    folder = tmp_path_factory.mktemp("front")
    with (
        edges(folder, edge_environment) as found,
        balancer(folder, [edge.address for edge in found]) as running,
    ):
        yield Front(running, found, edge_environment["REDIS_URL"], edge_environment["DATABASE_URL"])
