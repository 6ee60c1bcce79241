"""A fail-over of Redis costs one refused attempt: the next one is made on a new connection, to the promoted server.

Ingest probes every second, and beat sends a sweep every three. So both are back within seconds.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.inbox import client
from app.inbox.stream import Inbox
from app.inbox.wakeup import WakeupPublisher
from app.ingest.circuit_breaker import CircuitBreaker, CircuitBreakers, PostgresProbe, probe_redis
from app.ingest.durable_store import DurableStore
from app.ingest.high_water_reporter import HighWaterReporter
from app.storage.connection import Connection
from app.storage.pool import Pool
from config.redis_address import RedisAddress
from tests.integration.test_consumer import delivery
from tests.support import servers
from tests.support.forwarder import Forwarder
from tests.support.servers import eventually

IDLE = 8


class Pair:
    """A primary and its replica, behind one address."""

    def __init__(self, first: Redis, second: Redis, front: Forwarder) -> None:
        self.first, self.second, self.front = first, second, front
        self.address = RedisAddress.parse(front.url)

    def fail_over(self) -> None:
        """Promote the replica. The former primary follows it, and keeps its connections."""
        eventually(lambda: offset(self.first) == offset(self.second), "the replica is complete")
        self.second.replicaof("NO", "ONE")
        self.first.replicaof("127.0.0.1", str(port(self.second)))
        self.front.target_port = port(self.second)


def port(redis: Redis) -> int:
    return int(redis.connection_pool.connection_kwargs["port"])


def offset(redis: Redis) -> int:
    info: Any = redis.info("replication")
    return int(info["master_repl_offset"])


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with (
        servers.valkey(tmp_path / "first") as url,
        Redis.from_url(url) as first,
        servers.valkey(tmp_path / "second", "--replicaof", f"127.0.0.1 {port(first)}") as replica,
        Redis.from_url(replica) as second,
        Forwarder(port(first)) as front,
    ):
        yield Pair(first, second, front)


@pytest.fixture
def redis(pair: Pair) -> Iterator[Redis]:
    """The client of ingest, with idle connections to the primary."""
    with closing(client.connect(pair.address, 5.0)) as connected:
        for connection in [connected.connection_pool.get_connection() for _ in range(IDLE)]:
            connected.connection_pool.release(connection)
        yield connected


def breaker_of(redis: Redis) -> CircuitBreaker:
    probe = partial(probe_redis, redis, [Inbox(redis, "kompar")], (), 0)
    return CircuitBreaker("redis", probe, partial(redis.connection_pool.disconnect, inuse_connections=False))


def test_probe_after_a_refused_one_reaches_the_promoted_server(pair: Pair, redis: Redis) -> None:
    breaker = breaker_of(redis)
    breaker.probe()
    assert breaker.error() is None
    pair.fail_over()
    breaker.probe()
    error = breaker.error()
    assert error is not None
    assert error.reason == "redis-not-primary"
    breaker.probe()
    assert breaker.error() is None
    assert pair.front.connections == IDLE + 1


def test_one_delivery_of_many_goes_to_postgres_after_a_fail_over(
    pair: Pair, redis: Redis, database: str, connection: Connection
) -> None:
    with closing(Pool(database, "test", 5.0)) as pool:
        breakers = CircuitBreakers(breaker_of(redis), CircuitBreaker("postgres", PostgresProbe(pool, ())))
        reporter = HighWaterReporter(pool, ["kompar"], [])
        store = DurableStore(Inbox(redis, "kompar"), pool, breakers, reporter, lambda: None)
        asyncio.run(store.store(delivery("before")))
        pair.fail_over()
        asyncio.run(store.store(delivery("refused")))
        breakers.redis.probe()
        for number in range(IDLE):
            asyncio.run(store.store(delivery(str(number))))
    assert pair.second.xlen("inbox:kompar") == 1 + IDLE
    assert connection.execute("SELECT FROM overflow").rowcount == 1


def test_wake_up_after_a_refused_one_reaches_the_promoted_server(pair: Pair) -> None:
    with closing(WakeupPublisher(pair.address)) as publisher:
        publisher.publish("kompar")
        pair.fail_over()
        publisher.publish("kompar")
        assert pair.second.llen("kompar") == 1
        publisher.publish("kompar")
        assert pair.second.llen("kompar") == 2
