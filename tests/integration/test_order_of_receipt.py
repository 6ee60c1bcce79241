"""The order of receipt across both stores, whatever the clocks said earlier: the later value wins."""

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from app.audit.conservation import audit
from app.audit.problems import clock_problems
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.ingest.app import create_edge
from app.ingest.edge_secrets import EdgeSettings
from app.storage import audits, high_water_marks, overflow, reports
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from config.secret_files import Rereading
from tests.integration.test_consumer import SEALS, consumer_of, delivery
from tests.support import databases
from tests.support.kvitto_process import run
from tests.support.metrics import console_metrics
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.providers.provider_fixtures import names, side
from tests.support.redis_server import redis_server
from tests.support.rsgi_client import RsgiClient
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

AHEAD = timedelta(hours=1)
LARGE = "x" * 300_000  # goes to the overflow


def ahead_ms() -> int:
    return round((datetime.now(UTC) + AHEAD).timestamp() * 1000)


class Stage(NamedTuple):
    """Servers that edges may ask as long as this process runs, and a worker."""

    redis: Redis
    redis_url: str
    database: str
    connection: Connection
    worker: InboxConsumer


@pytest.fixture
def stage(postgres_server: str, tmp_path: Path) -> Iterator[Stage]:
    database, slot = databases.create(postgres_server), ConsumerSlot(tmp_path)
    ledger = Ledger(database, "kompar")
    with redis_server(tmp_path / "redis") as server, connect(database, "test") as connection:
        yield Stage(server.client, server.url, database, connection, consumer_of(slot, ledger, server.client))
    ledger.close()
    slot.release()


def edge(stage: Stage) -> RsgiClient:
    """Start an edge, which knows nothing but what the servers know."""
    environment = {key: value for each in names() for key, value in side(each).environment.items()} | {
        "DATABASE_URL": stage.database,
        "REDIS_URL": stage.redis_url,
        "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}",
    }
    return RsgiClient(create_edge(Rereading(EdgeSettings.read, environment), threading.Event()))


def post(client: RsgiClient, accepted: bool, **more: Any) -> None:
    body = json.dumps({"application_id": "a", "accepted": accepted} | more)
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    assert client.post("/webhooks/kompar/decisions", headers, body.encode()).status_code == 200


def decision(accepted: bool) -> Delivery:
    found = delivery("a")
    body = json.dumps({"application_id": "a", "accepted": accepted}).encode()
    return Delivery(found.receipt, "kompar", "decisions", {}, SEALS.seal(found.receipt, body))


def decided(connection: Connection) -> list[bool]:
    return [row.accepted for row in connection.execute("SELECT accepted FROM reporting.kompar_decisions")]


@pytest.mark.parametrize("is_stored_first", [True, False])
def test_a_later_delivery_in_the_overflow_wins_over_one_whose_time_was_ahead(
    stage: Stage, is_stored_first: bool
) -> None:
    earlier = Inbox(stage.redis, "kompar", time_ms=ahead_ms).append(decision(False)).mark
    high_water_marks.record(stage.connection, [("kompar", earlier)])
    if is_stored_first:
        stage.worker.drain()
    post(edge(stage), True, note=LARGE)
    assert stage.connection.execute("SELECT FROM overflow").rowcount == 1
    stage.worker.drain()
    assert decided(stage.connection) == [True]


def test_a_later_delivery_in_redis_wins_over_one_in_the_overflow_whose_time_was_ahead(stage: Stage) -> None:
    overflow.append(stage.connection, decision(False), not_before=datetime.now(UTC) + AHEAD)
    post(edge(stage), True)
    assert stage.redis.xlen("inbox:kompar") == 1
    stage.worker.drain()
    assert decided(stage.connection) == [True]


def test_a_later_delivery_wins_although_another_client_moved_the_ids_of_the_stream_ahead(stage: Stage) -> None:
    stage.worker.drain()
    stage.redis.execute_command("XSETID", "inbox:kompar", f"{ahead_ms()}-0")  # type: ignore[no-untyped-call]
    post(edge(stage), False)
    post(edge(stage), True, note=LARGE)
    stage.worker.drain()
    assert decided(stage.connection) == [True]


def test_a_sweep_reports_a_time_of_receipt_that_is_ahead_everywhere(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.worker.sweep()
    assert list(clock_problems(reports.freshness(stage.connection))) == []
    Inbox(stage.redis, "kompar", time_ms=ahead_ms).append(delivery("a"))
    for _ in range(2):
        stage.worker.sweep()
    assert caplog.messages.count("clocks_differ") == 1
    (problem,) = map(str, clock_problems(reports.freshness(stage.connection)))
    assert problem.startswith("kompar: the clock of Redis, or a time of receipt, is 3")
    assert 'kvitto_clock_skew_seconds{provider="kompar"} 3' in console_metrics(stage.database)
    done = health(stage)
    assert (done.returncode, problem in done.stdout) == (0, True)
    (row,) = reports.freshness(stage.connection)
    assert 0 <= row["behind_seconds"] < 60


def test_a_canary_that_waits_with_a_time_ahead_makes_the_worker_unhealthy(stage: Stage) -> None:
    Inbox(stage.redis, "canary/kompar", time_ms=ahead_ms).append(delivery("a"))
    done = health(stage)
    assert done.returncode == 1
    assert "s in the future: was the clock of Postgres set back?" in done.stdout


def test_health_of_a_worker_names_what_is_missing(stage: Stage) -> None:
    Inbox(stage.redis, "kompar").append(delivery("a"))
    stage.worker.sweep()
    row = audit(stage.connection, stage.worker.inbox).row() | {"missing": 3}
    audits.record(stage.connection, row)
    done = health(stage)
    assert (done.returncode, "kompar: 3 MISSING. Run: kvitto audit" in done.stdout) == (0, True)


def health(stage: Stage) -> subprocess.CompletedProcess[str]:
    return run("health", "worker", environment={"DATABASE_URL": stage.database, "REDIS_URL": stage.redis_url})
