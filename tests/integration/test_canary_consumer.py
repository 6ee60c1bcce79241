"""Canaries at the worker, and health without the rest of Kvitto."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.canary import Canary, Heartbeat
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.storage import overflow
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from config.folders import private_folder
from tests.support.kvitto_process import SECRETS, Running, run
from tests.support.ports import free_port
from workers.canary_consumer import CanaryConsumer

SEALS = SealingKeys((("a", b"s" * 32),))


def health(kvitto: Running, *arguments: str) -> tuple[int, str]:
    done = kvitto.run("health", *arguments, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1)
    return done.returncode, found["words"]


@pytest.mark.parametrize("gone", ["DATABASE_URL", "REDIS_URL"])
def test_an_unreachable_server_leaves_the_worker_healthy(database: str, valkey_server: str, gone: str) -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    servers = {"DATABASE_URL": database, "REDIS_URL": valkey_server}
    done = run("health", "worker", environment=servers | {gone: nowhere[gone]})
    assert done.returncode == 0
    assert done.stdout.startswith("healthy: a server cannot be reached (")


def test_a_secret_file_that_became_invalid_leaves_the_worker_healthy(database: str, tmp_path: Path) -> None:
    (tmp_path / "redis_url").write_text("nonsense")
    settings = {"DATABASE_URL": database, "REDIS_URL_FILE": str(tmp_path / "redis_url")}
    done = run("health", "worker", environment=settings)
    assert done.returncode == 0
    assert "REDIS_URL: is no redis:// address" in done.stdout
    assert run("health", "worker", environment={"DATABASE_URL": database}).returncode == 78


def test_the_health_of_an_unknown_provider_is_a_usage_error(database: str, valkey_server: str) -> None:
    servers = {"DATABASE_URL": database, "REDIS_URL": valkey_server}
    done = run("health", "worker", "--provider", "nobody", environment=servers)
    assert done.returncode == 2
    assert "nobody not in PROVIDERS (kompar,solaris)" in done.stderr


@pytest.mark.parametrize("process", ["ingest", "console"])
def test_a_server_that_does_not_answer_is_unhealthy(process: str) -> None:
    done = run("health", process, environment={f"{process.upper()}_BIND": f"0.0.0.0:{free_port()}"})
    assert done.returncode == 1
    assert "127.0.0.1" in done.stdout
    assert "does not answer" in done.stdout


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "canary/kompar", max_entries=3)


@pytest.fixture
def canaries(inbox: Inbox, database: str) -> Iterator[CanaryConsumer]:
    ledger = Ledger(database, "kompar")
    yield CanaryConsumer(inbox, ledger, SEALS, "kompar")
    ledger.close()


def sealed(body: bytes, seals: SealingKeys = SEALS) -> Delivery:
    receipt = uuid7()
    return Delivery(receipt, "canary/kompar", "kompar", {}, seals.seal(receipt, body))


def sent(connection: Connection) -> datetime | None:
    row = connection.execute("SELECT sent_at FROM reporting.canaries WHERE provider = 'kompar'").fetchone()
    return row.sent_at if row else None


def at(seconds: int) -> datetime:
    """Return a moment of yesterday."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1, seconds=-seconds)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_newest_canary_is_recorded_in_any_order(
    canaries: CanaryConsumer, inbox: Inbox, connection: Connection, order: tuple[int, ...], at_once: bool
) -> None:
    for number in order:
        inbox.append(sealed(Canary("kompar", at(number)).to_body()))
        if not at_once:
            canaries.consume()
    canaries.consume()
    assert sent(connection) == at(3)
    assert inbox.backlog().entries == 0


def test_a_canary_from_the_future_counts_as_sent_on_arrival(
    canaries: CanaryConsumer, inbox: Inbox, connection: Connection
) -> None:
    inbox.append(sealed(Canary("kompar", datetime.now(UTC) + timedelta(days=1)).to_body()))
    canaries.consume()
    first = sent(connection)
    assert first is not None
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    inbox.append(sealed(Canary("kompar", datetime.now(UTC)).to_body()))
    canaries.consume()
    second = sent(connection)
    assert second is not None
    assert second > first


BROKEN: dict[str, Callable[[], Delivery]] = {
    "another provider's": lambda: sealed(Canary("solaris", at(9)).to_body()),
    "not JSON": lambda: sealed(b"\xff"),
    "a list": lambda: sealed(b"[]"),
    "nested deeply": lambda: sealed(b"[" * 100_000),
    "without a time": lambda: sealed(b'{"provider": "kompar"}'),
    "a time without its zone": lambda: sealed(b'{"provider": "kompar", "sent_at": "2026-11-22T10:00:00"}'),
    "sealed under another key": lambda: sealed(b"{}", SealingKeys((("b", b"o" * 32),))),
    "not sealed": lambda: Delivery(uuid7(), "canary/kompar", "kompar", {}, b""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_canary_is_dropped_and_logged(
    canaries: CanaryConsumer, inbox: Inbox, connection: Connection, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    inbox.append(BROKEN[name]())
    inbox.append(sealed(Canary("kompar", at(1)).to_body()))
    canaries.consume()
    assert caplog.messages == ["broken_canary_dropped"]
    assert sent(connection) == at(1)
    assert inbox.backlog().entries == 0


def test_a_failed_consume_is_logged_and_repeated(
    canaries: CanaryConsumer, inbox: Inbox, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("ALTER TABLE canaries RENAME TO elsewhere")
    inbox.append(sealed(Canary("kompar", at(1)).to_body()))
    canaries.consume()
    assert caplog.messages == ["canaries_failed"]
    connection.execute("ALTER TABLE elsewhere RENAME TO canaries")
    canaries.consume()
    assert sent(connection) == at(1)


def test_the_inbox_keeps_only_the_newest_canaries(
    canaries: CanaryConsumer, inbox: Inbox, connection: Connection
) -> None:
    for number in range(10):
        inbox.append(sealed(Canary("kompar", at(number)).to_body()))
    assert inbox.backlog().entries == 3
    assert inbox.backlog().oldest_at is not None
    canaries.consume()
    assert (inbox.backlog().entries, inbox.backlog().oldest_at, sent(connection)) == (0, None, at(9))


def test_a_worker_can_delete_canaries_from_the_overflow_and_nothing_else(database: str, connection: Connection) -> None:
    kept = Delivery(uuid7(), "kompar", "decisions", {}, b"sealed")
    gone = sealed(b"{}")
    for delivery in (kept, gone):
        overflow.append(connection, delivery, at(0))
    with psycopg.connect(database.replace("//kvitto@", "//kvitto_worker@")) as worker:
        worker.execute("SELECT kvitto.forget_canaries(%s)", [[kept.receipt, gone.receipt]])
    assert [row.receipt for row in connection.execute("SELECT receipt FROM overflow")] == [kept.receipt]


def test_a_heartbeat_in_the_future_makes_beat_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", os.environ["TMPDIR"])  # as of the command
    settings = {"INGEST_URL": "http://127.0.0.1:1", "CANARY_SECRET": "s" * 20, "REDIS_URL": "redis://127.0.0.1:1/0"}
    heartbeat = Heartbeat(settings["INGEST_URL"])
    heartbeat.beat()
    assert run("health", "beat", environment=settings).returncode == 0
    for file in private_folder("beat").iterdir():
        os.utime(file, (time.time() + 3600,) * 2)
    done = run("health", "beat", environment=settings)
    assert (done.returncode, "in the future: was the clock set back?" in done.stdout) == (1, True)


def test_beat_with_a_bad_ingest_url_exits_78() -> None:
    done = run(
        "beat",
        environment=SECRETS
        | {"REDIS_URL": "redis://127.0.0.1:1/0", "CANARY_SECRET": "s" * 20, "INGEST_URL": "ftp://x"},
    )
    assert done.returncode == 78
    assert "INGEST_URL: is no http:// or https:// address" in done.stderr
