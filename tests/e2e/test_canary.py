"""Canaries: they arrive while the path works, show where it does not, and appear in no count."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis

from app.domain import canary
from app.domain.canary import Canary
from app.sandbox.kompar import encrypt
from tests.support import process_tree
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

PROVIDERS = ["kompar", "solaris"]
# Sent every 5 s: so late that one is surely missing, and early enough for a test.
LIMIT = 12


pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Kvitto with a short limit, for tests that restore its state."""
    environment = SECRETS | {"CANARY_MAX_AGE_SECONDS": str(LIMIT)}
    with running(tmp_path_factory.mktemp("watched") / "data", environment) as found:
        yield found


def newest(kvitto: Running) -> dict[str, dict[str, Any]]:
    rows = kvitto.rows("SELECT *, clock_timestamp() - sent_at AS age FROM reporting.canaries")
    return {row["provider"]: row for row in rows}


def await_next(kvitto: Running, seconds: float = 60) -> None:
    """Wait until every provider has a newer canary."""
    before = {name: row["sent_at"] for name, row in newest(kvitto).items()}

    def has_arrived() -> bool:
        now = {name: row["sent_at"] for name, row in newest(kvitto).items()}
        return sorted(now) == PROVIDERS and all(now[name] != before.get(name) for name in now)

    eventually(has_arrived, "another canary of each", seconds)


def ready(kvitto: Running) -> httpx.Response:
    return kvitto.client.get(f"{kvitto.console}/readyz")


def health(kvitto: Running, *arguments: str) -> tuple[int, str]:
    done = kvitto.run("health", *arguments, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1)
    return done.returncode, found["words"]


def limited(kvitto: Running, *arguments: str) -> int:
    return health(kvitto, *arguments, "--limit", str(LIMIT))[0]


def send(kvitto: Running, body: bytes, provider: str = "kompar", secret: str | None = None) -> httpx.Response:
    secret = secret or (kvitto.data / "secrets" / "CANARY_SECRET").read_text()
    headers = {canary.SIGNATURE: canary.sign(secret, body)}
    return kvitto.client.post(f"/webhooks/canary/{provider}", content=body, headers=headers)


@contextmanager
def stopped(kvitto: Running, *words: str) -> Iterator[list[int]]:
    pids = process_tree.named(kvitto.process.pid, *words)
    assert pids
    with process_tree.stopped(*pids):
        yield pids


def await_recovery(kvitto: Running) -> None:
    eventually(lambda: ready(kvitto).status_code == 200, "ready again")
    eventually(lambda: limited(kvitto, "worker") == 0, "worker healthy again")


def test_canaries_arrive_and_all_is_healthy(kvitto: Running) -> None:
    await_next(kvitto)
    await_next(kvitto)
    for row in newest(kvitto).values():
        assert row["stored_at"] >= row["sent_at"]
    assert (ready(kvitto).status_code, ready(kvitto).text) == (200, "ready\n")
    for process in ("worker", "beat", "ingest", "console"):
        assert health(kvitto, process)[0] == 0


def test_canaries_have_their_own_metrics_and_appear_in_no_count(watched: Running) -> None:
    """The first test of this Kvitto: nothing else has been delivered to it."""
    kvitto, before = watched, time.time()
    for _ in range(2):
        await_next(kvitto)
    for provider in PROVIDERS:
        account = kvitto.audit(provider)
        assert {name: count for name, count in account.items() if name != "provider" and count} == {}
        assert kvitto.entries(provider) == 0
    views = kvitto.rows("SELECT table_name FROM information_schema.views WHERE table_schema = 'reporting'")
    counted = {row["table_name"] for row in views} - {"audits", "canaries", "freshness"}  # beat audits by itself
    assert len(counted) > 8
    assert {view for view in counted if kvitto.rows(f"SELECT 1 FROM reporting.{view}")} == set()
    metrics = "".join(map(kvitto.metrics, ("ingest", "worker-kompar", "console")))
    found = re.findall(r'^(kvitto_\w+){.*?provider="(?:canary.*?|kompar)".*} (\S+)$', metrics, re.MULTILINE)
    counts = {name: float(value) for name, value in found if name.endswith(("_total", "_count"))}
    assert {name for name, value in counts.items() if value} == set()
    gauges = {name: float(value) for name, value in found}
    assert gauges["kvitto_last_canary_timestamp_seconds"] >= before
    assert gauges["kvitto_canary_duration_seconds"] >= 0


def test_a_stopped_worker_is_unhealthy_and_recovers(watched: Running) -> None:
    await_next(watched)
    with stopped(watched, "celeryd: kompar@"):
        eventually(lambda: ready(watched).status_code == 503, "unready")
        eventually(lambda: "solaris" not in (text := ready(watched).text) and "kompar: the newest" in text, "kompar's")
        eventually(lambda: limited(watched, "worker", "--provider", "kompar") == 1, "unhealthy")
        assert limited(watched, "worker") == 1
        eventually(lambda: limited(watched, "worker", "--provider", "solaris") == 0, "the other worker healthy")
        eventually(lambda: limited(watched, "beat") == 0, "beat healthy")
    await_recovery(watched)


def test_a_worker_that_waits_for_its_lock_is_unhealthy(watched: Running) -> None:
    """Only workers take this lock: a worker that hangs with it blocks every delivery, and its restart frees it."""
    await_next(watched)
    with psycopg.connect(watched.database) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('kvitto/kompar', 0))")
        eventually(lambda: ready(watched).status_code == 503, "unready")
        eventually(lambda: limited(watched, "worker", "--provider", "kompar") == 1, "unhealthy")
    await_recovery(watched)


def test_a_stopped_beat_is_unhealthy_and_its_successor_is_healthy(watched: Running) -> None:
    await_next(watched)
    with stopped(watched, "celery beat") as pids:
        eventually(lambda: limited(watched, "beat") == 1, "unhealthy")
        eventually(lambda: ready(watched).status_code == 503, "unready")
        assert limited(watched, "worker") == 0  # nothing waits: it is not the worker's fault
        process_tree.kill(*pids)
        eventually(lambda: limited(watched, "beat") == 0, "started again")
        await_recovery(watched)


def test_an_unsigned_canary_is_answered_401(kvitto: Running) -> None:
    body = Canary("kompar", datetime.now(UTC)).to_body()
    answers = [
        kvitto.client.post("/webhooks/canary/kompar", content=body),
        send(kvitto, body, secret="another"),
        kvitto.client.post("/webhooks/canary/kompar", content=body, headers=[(b"Canary-Signature", b"\xe5")]),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    for path in ("canary", "canary/nobody", "canary/canary"):
        assert kvitto.client.post(f"/webhooks/{path}", content=body).status_code == 404


def test_an_old_canary_changes_nothing(watched: Running) -> None:
    await_next(watched)
    with stopped(watched, "celery beat"), Redis.from_url(watched.redis) as client:
        eventually(lambda: client.xlen("inbox:canary/kompar") == 0, "the last one taken in")
        before = newest(watched)["kompar"]["sent_at"]
        old = Canary("kompar", before - timedelta(microseconds=1)).to_body()
        assert [send(watched, old).status_code for _ in range(3)] == [200] * 3
        eventually(lambda: client.xlen("inbox:canary/kompar") == 0, "taken in and deleted")
        assert newest(watched)["kompar"]["sent_at"] == before
    await_recovery(watched)


def test_canaries_arrive_without_redis(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    await_next(kvitto)
    with stopped(kvitto, "valkey-server"):
        await_next(kvitto, 90)
        assert health(kvitto, "worker")[1].startswith("a server cannot be reached (redis-unreachable)")
    await_next(kvitto)
    eventually(lambda: not kvitto.rows("SELECT 1 FROM kvitto.overflow"), "no canary stays in the overflow")
    assert {name: count for name, count in kvitto.audit().items() if name != "provider" and count} == {}
    answer = kvitto.post("applications", encrypt({"application_id": "a"}, KEY))
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"


def test_a_provider_without_a_canary_is_reported_if_another_has_one(watched: Running) -> None:
    """Without any canary nothing is reported: canaries are optional."""
    await_next(watched)
    with stopped(watched, "celery beat"), Redis.from_url(watched.redis) as client:
        eventually(lambda: client.xlen("inbox:canary/solaris") == 0, "the last one taken in")
        watched.rows("DELETE FROM kvitto.canaries WHERE provider = 'solaris' RETURNING provider")
        assert "solaris: no canary has arrived yet" in ready(watched).text
    await_recovery(watched)
