"""After a fail-over of Redis, ingest, workers and beat use the promoted server, without a restart.

How soon is shown by tests/integration/test_redis_failover.py: the first attempt after a refused one succeeds.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.sandbox.kompar import encrypt
from tests.support import process_tree, redis_user, servers
from tests.support.forwarder import Forwarder
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Redis, Redis]]:
    """A primary and its replica, with a user that has the documented rights only."""
    with ExitStack() as stack:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        first = stack.enter_context(closing(_client(stack.enter_context(servers.valkey(tmp_path / "first")))))
        primary = ("--replicaof", f"127.0.0.1 {port(first)}")
        second = _client(stack.enter_context(servers.valkey(tmp_path / "second", *primary)))
        stack.enter_context(closing(second))
        for server in (first, second):
            redis_user.create(server)
        yield first, second


def _client(url: str) -> Redis:
    return Redis.from_url(url)


def port(redis: Redis) -> int:
    return int(redis.connection_pool.connection_kwargs["port"])


def test_fail_over_behind_a_balancer_brings_every_process_to_the_promoted_server(
    tmp_path: Path, pair: tuple[Redis, Redis]
) -> None:
    first, second = pair
    with (
        Forwarder(port(first)) as front,
        running(tmp_path / "data", SECRETS | {"REDIS_URL": redis_user.with_login(front.url)}) as kvitto,
    ):
        receipts = deliver(kvitto, range(8))
        eventually(lambda: replicated(first), "the replica is complete")
        ingest = process_tree.named(kvitto.process.pid, "kvitto ingest")
        with process_tree.stopped(*ingest):  # so that beat alone sends wake-ups: sweeps
            second.replicaof("NO", "ONE")
            replicated_sweeps = calls(second, "lpush")
            first.replicaof("127.0.0.1", str(port(second)))  # and it keeps its connections
            front.target_port = port(second)
            eventually(lambda: calls(second, "lpush") > replicated_sweeps, "a sweep of beat's at the promoted server")
        eventually(lambda: appended_more(kvitto, receipts, second), "an append to the promoted server", 60)
        receipts += deliver(kvitto, range(100, 120))
        for receipt in receipts:
            assert kvitto.outcome(receipt)["outcome"] == "stored"
        waiting = "a worker waits for wake-ups at the promoted server"
        eventually(lambda: any(client["cmd"] == "brpop" for client in clients(second)), waiting, 60)
        account = kvitto.audit()
        assert (account["missing"], account["stored"]) == (0, len(receipts))
        logs = [log.read_text() for log in (tmp_path / "data" / "logs").glob("*.log")]
        assert not [
            log for log in logs if "no-permission" in log or "NoPermission" in log or redis_user.PASSWORD in log
        ]


def deliver(kvitto: Running, numbers: range) -> list[str]:
    answers = [kvitto.post("applications", encrypt({"application_id": f"id-{number}"}, KEY)) for number in numbers]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["receipt"] for answer in answers]


def appended_more(kvitto: Running, receipts: list[str], redis: Redis) -> bool:
    """Deliver once; return whether the delivery went to this server. Its receipt is added to `receipts`."""
    before = entries(redis)
    receipts += deliver(kvitto, range(len(receipts) + 1000, len(receipts) + 1001))
    return entries(redis) > before


def entries(redis: Redis) -> int:
    info: Any = redis.xinfo_stream("inbox:kompar")
    return int(info["entries-added"])


def replicated(redis: Redis) -> bool:
    info: Any = redis.info("replication")
    return bool(info["connected_slaves"] and info["slave0"]["offset"] == info["master_repl_offset"])


def clients(redis: Redis) -> list[dict[str, str]]:
    found: Any = redis.client_list()
    return list(found)


def calls(redis: Redis, command: str) -> int:
    stats: Any = redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])
