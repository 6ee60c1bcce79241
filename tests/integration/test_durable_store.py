"""Where ingest keeps a delivery: in Redis, in Postgres, or in both after an append that was not confirmed."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from app.audit import conservation
from app.errors import StoreUnavailableError
from app.inbox import client
from app.inbox.stream import Inbox
from app.ingest.circuit_breaker import CircuitBreaker, CircuitBreakers, PostgresProbe, probe_redis
from app.ingest.durable_store import DurableStore
from app.ingest.high_water_reporter import HighWaterReporter
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from app.storage.pool import Pool
from config.redis_address import RedisAddress
from tests.chaos.proxy import Proxy
from tests.integration.test_consumer import consumer_of, delivery
from tests.support import servers
from tests.support.servers import eventually
from tests.support.slow_network import slow_network
from workers.consumer_slots import ConsumerSlot

Wakeups = list[None]


@pytest.fixture
def pool(database: str) -> Iterator[Pool]:
    with closing(Pool(database, "test", 5.0)) as opened:
        yield opened


def store_of(inbox: Inbox, redis: Redis, pool: Pool, wakeups: Wakeups, *, keeps_in_redis: bool = True) -> DurableStore:
    breakers = CircuitBreakers(
        CircuitBreaker("redis", partial(probe_redis, redis, [inbox], (), 0)),
        CircuitBreaker("postgres", PostgresProbe(pool, ())),
        keeps_in_redis,
    )
    return DurableStore(inbox, pool, breakers, HighWaterReporter(pool, ["kompar"], []), lambda: wakeups.append(None))


def waiting(connection: Connection) -> int:
    return connection.execute("SELECT FROM overflow WHERE ciphertext IS NOT NULL").rowcount


def test_append_that_too_few_replicas_confirm_is_kept_in_postgres_and_takes_effect_once(
    redis: Redis, database: str, connection: Connection, pool: Pool, tmp_path: Path
) -> None:
    inbox = Inbox(redis, "kompar", replicas=1)
    asyncio.run(store_of(inbox, redis, pool, []).store(delivery("a")))
    assert (inbox.backlog().entries, waiting(connection)) == (1, 1)
    slot, ledger = ConsumerSlot(tmp_path), Ledger(database, "kompar")
    consumer_of(slot, ledger, redis).sweep()
    balance = conservation.audit(connection, inbox).row()
    assert (balance["stored"], balance["copies"], balance["missing"], balance["in_flight"]) == (1, 1, 0, 0)
    ledger.close()
    slot.release()


def test_append_that_a_replica_confirms_is_kept_in_redis(tmp_path: Path, connection: Connection, pool: Pool) -> None:
    (tmp_path / "replica").mkdir()
    with servers.valkey(tmp_path) as url, closing(client.connect(RedisAddress.parse(url))) as redis:
        port = redis.connection_pool.connection_kwargs["port"]
        with servers.valkey(tmp_path / "replica", "--replicaof", f"127.0.0.1 {port}"):
            inbox = Inbox(redis, "kompar", replicas=1)
            eventually(lambda: probe_error(redis, inbox) == "", "the replica confirms")
            wakeups: Wakeups = []
            asyncio.run(store_of(inbox, redis, pool, wakeups).store(delivery("a")))
            assert (inbox.backlog().entries, waiting(connection), len(wakeups)) == (1, 0, 1)
        assert probe_error(redis, inbox) == "redis-not-replicated"


def test_deliveries_that_wait_for_an_append_that_hangs_go_to_postgres_without_one_of_their_own(
    redis: Redis, connection: Connection, pool: Pool
) -> None:
    attempts, end = [], threading.Event()

    def hang() -> bool:
        attempts.append(1)
        return end.wait()

    async def store_all(store: DurableStore) -> None:
        await asyncio.gather(*(store.store(delivery(str(number))) for number in range(70)))  # more than one group

    proxy = Proxy(f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0", b"XADD")
    proxy.on_request = hang
    with closing(client.connect(RedisAddress.parse(proxy.url), 1.0)) as behind, closing(proxy):
        asyncio.run(store_all(store_of(Inbox(behind, "kompar"), behind, pool, [])))
        end.set()
    assert (len(attempts), waiting(connection)) == (1, 70)


@pytest.mark.parametrize("replicas", [0, 1])
def test_large_delivery_is_kept_in_redis_over_a_slow_network_without_postgres(tmp_path: Path, replicas: int) -> None:
    large = replace(delivery("large"), sealed=b"x" * 20_000_000)  # 2.5 s on this network
    (tmp_path / "replica").mkdir()
    with (
        servers.valkey(tmp_path) as url,
        slow_network(url) as slow,
        servers.valkey(tmp_path / "replica", "--replicaof", f"127.0.0.1 {RedisAddress.parse(slow).hosts[0][1]}"),
        closing(client.connect(RedisAddress.parse(slow), 1.0)) as redis,
        closing(Pool("postgresql://127.0.0.1:1/x", "test", 0.2)) as nowhere,
    ):
        inbox = Inbox(redis, "kompar", replicas=replicas)
        eventually(lambda: probe_error(redis, inbox) == "", "the replica confirms")
        asyncio.run(store_of(inbox, redis, nowhere, []).store(large))
        asyncio.run(store_of(inbox, redis, nowhere, []).store(delivery("small")))
        assert [entry.receipt for entry in inbox.waiting()][:1] == [large.receipt]


def probe_error(redis: Redis, inbox: Inbox) -> str:
    try:
        probe_redis(redis, [inbox], (), 1)
    except StoreUnavailableError as error:
        return error.reason
    return ""


def test_postgres_as_the_durable_store_gets_every_delivery_and_redis_wakes(
    redis: Redis, connection: Connection, pool: Pool
) -> None:
    inbox, wakeups = Inbox(redis, "kompar"), Wakeups()
    store = store_of(inbox, redis, pool, wakeups, keeps_in_redis=False)
    for number in range(3):
        asyncio.run(store.store(delivery(str(number))))
    assert (redis.exists("inbox:kompar"), waiting(connection), len(wakeups)) == (0, 3, 1)


def test_postgres_as_the_durable_store_leaves_nothing_in_redis_when_it_fails(redis: Redis) -> None:
    with closing(Pool("postgresql://127.0.0.1:1/x", "test", 0.2)) as nowhere:
        store = store_of(Inbox(redis, "kompar"), redis, nowhere, [], keeps_in_redis=False)
        with pytest.raises(StoreUnavailableError, match="postgres-unavailable"):
            asyncio.run(store.store(delivery("a")))
    assert not redis.exists("inbox:kompar")
