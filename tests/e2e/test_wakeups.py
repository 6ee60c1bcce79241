"""A lost wake-up costs seconds only, and wake-ups without a worker do not accumulate."""

import json
import subprocess
from contextlib import closing
from dataclasses import replace
from typing import Any

from redis import Redis

from app.inbox import client
from app.inbox.wakeup import WakeupPublisher
from app.sandbox.kompar import encrypt
from config.redis_address import RedisAddress
from tests.support.kvitto_process import SECRETS, Running, command
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import bare_environment, eventually


def test_a_lost_wakeup_is_replaced_by_the_next_sweep(kvitto: Running) -> None:
    with Redis.from_url(kvitto.redis) as redis:
        redis.set("wakeup:kompar", 1)  # a wake-up is pending, so that the edge publishes none
    answer = kvitto.post("decisions", encrypt({"application_id": "unheard"}, KEY))
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    log = (kvitto.data / "logs" / "worker-kompar.log").read_text()
    assert "fallback_sweep_started" not in log


def test_a_wakeup_of_another_release_is_dropped_and_the_next_sweep_drains(kvitto: Running) -> None:
    """The name of the task is the version of a wake-up: a worker drops what it does not know, and works on."""
    with Redis.from_url(kvitto.redis) as redis:
        redis.set("wakeup:kompar", 1)
        redis.lpush("kompar", as_sent_by_another_release(kvitto))
    answer = kvitto.post("decisions", encrypt({"application_id": "of-another-release"}, KEY))
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    log = kvitto.data / "logs" / "worker-kompar.log"
    eventually(lambda: "Received unregistered task" in log.read_text(), "the wake-up dropped: ", log=log)


def as_sent_by_another_release(kvitto: Running) -> str:
    """Return a wake-up as ingest publishes it, with a task that this release does not have."""
    elsewhere = replace(RedisAddress.parse(kvitto.redis), database=1)  # where no worker takes it
    with closing(WakeupPublisher(elsewhere)) as publisher, closing(client.connect(elsewhere)) as redis:
        publisher.send("kompar")
        published: Any = redis.rpop("kompar")
    message = json.loads(published)
    message["headers"]["task"] = "drain-2"
    return json.dumps(message)


def test_wakeups_without_a_worker_do_not_accumulate(redis: Redis, valkey_server: str) -> None:
    redis.rpush("kompar", *(f"wake-up {number}" for number in range(1_000)))
    environment = bare_environment() | SECRETS | {"REDIS_URL": valkey_server}
    with subprocess.Popen(command("beat"), env=environment) as beat:
        try:
            eventually(lambda: redis.lindex("kompar", -1) != b"wake-up 999", "the oldest are gone")
        finally:
            beat.kill()
    assert 0 < redis.llen("kompar") < 30
