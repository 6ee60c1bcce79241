"""A lost wake-up costs seconds only, and wake-ups without a worker do not accumulate."""

import subprocess

from redis import Redis

from app.sandbox.kompar import encrypt
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


def test_wakeups_without_a_worker_do_not_accumulate(redis: Redis, valkey_server: str) -> None:
    redis.rpush("kompar", *(f"wake-up {number}" for number in range(1_000)))
    environment = bare_environment() | SECRETS | {"REDIS_URL": valkey_server}
    with subprocess.Popen(command("beat"), env=environment) as beat:
        try:
            eventually(lambda: redis.lindex("kompar", -1) != b"wake-up 999", "the oldest are gone")
        finally:
            beat.kill()
    assert 0 < redis.llen("kompar") < 30
