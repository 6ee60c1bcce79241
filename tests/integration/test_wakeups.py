"""A wake-up that is lost costs seconds."""

from redis import Redis

from app.sandbox.kompar import encrypt
from tests.providers.kompar_side import KEY
from tests.running import Running


def test_a_doorbell_that_nobody_heard_is_made_up_for_by_the_sweep(kvitto: Running) -> None:
    with Redis.from_url(kvitto.redis) as redis:
        redis.set("doorbell:kompar", 1)  # pressed, as the edge finds it: so it rings nobody
    answer = kvitto.post("decisions", encrypt({"application_id": "unheard"}, KEY))
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    log = (kvitto.data / "logs" / "worker-kompar.log").read_text()
    assert "standing in" not in log  # nor was it the standby, which takes longer
