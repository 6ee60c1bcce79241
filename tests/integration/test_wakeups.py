"""A wake-up that is lost costs seconds, and one that nobody takes costs nothing."""

import subprocess

from redis import Redis

from app.sandbox.kompar import encrypt
from tests.kvitto_process import SECRETS, Running, command
from tests.providers.kompar_fixtures import KEY
from tests.servers import bare_environment, eventually


def test_a_doorbell_that_nobody_heard_is_made_up_for_by_the_sweep(kvitto: Running) -> None:
    with Redis.from_url(kvitto.redis) as redis:
        redis.set("doorbell:kompar", 1)  # pressed, as the edge finds it: so it rings nobody
    answer = kvitto.post("decisions", encrypt({"application_id": "unheard"}, KEY))
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    log = (kvitto.data / "logs" / "worker-kompar.log").read_text()
    assert "fallback_sweep_started" not in log


def test_wake_ups_that_nobody_takes_do_not_pile_up(redis: Redis, valkey_server: str) -> None:
    redis.rpush("kompar", *(f"wake-up {number}" for number in range(1_000)))
    environment = bare_environment() | SECRETS | {"REDIS_URL": valkey_server}
    with subprocess.Popen(command("beat"), env=environment) as beat:
        try:
            eventually(lambda: redis.lindex("kompar", -1) != b"wake-up 999", "the oldest are gone")
        finally:
            beat.kill()
    assert 0 < redis.llen("kompar") < 30
