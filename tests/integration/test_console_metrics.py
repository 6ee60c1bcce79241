"""The console's metrics: read at each scrape, whatever the state of Postgres and Redis."""

import signal
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from app.console.app import create_app
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.storage.connection import Connection
from tests.support import redis_user
from tests.support.metrics import NO_REDIS, console_metrics, console_settings, sample
from tests.support.servers import postgres_process

NO_POSTGRES = "postgresql://kvitto@127.0.0.1:1/kvitto"
DEAD = """
    INSERT INTO receipts (receipt, provider, topic, outcome, reason, received_at, epoch, seq)
    SELECT gen_random_uuid(), 'kompar', 'decisions', 'dead', 'wrong-key', now(), gen_random_uuid(), number
    FROM generate_series(1, 3) AS number
"""


def test_inbox_is_asked_itself_and_not_the_last_sweep(
    database: str, connection: Connection, redis: Redis, valkey_server: str
) -> None:
    swept = "INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now(), 0)"
    connection.execute(swept)
    inbox = Inbox(redis, "kompar", time_ms=lambda: round(redis.time()[0] * 1000) - 90_000)
    inbox.append_all([Delivery(uuid4(), "kompar", "decisions", {}, b"") for _ in range(120)])
    text = console_metrics(database, valkey_server)
    assert sample(text, "kvitto_inbox_entries", provider="kompar") == 120
    assert sample(text, "kvitto_inbox_entries", provider="solaris") == 0
    assert 89 <= (sample(text, "kvitto_inbox_oldest_seconds", provider="kompar") or 0) < 600
    assert sample(text, "kvitto_inbox_oldest_seconds", provider="solaris") == 0
    assert sample(text, "kvitto_inbox_readable") == 1


def test_what_redis_cannot_be_asked_has_no_series(database: str) -> None:
    text = console_metrics(database, NO_REDIS)
    assert (sample(text, "kvitto_inbox_readable"), sample(text, "kvitto_ledger_readable")) == (0, 1)
    assert sample(text, "kvitto_inbox_entries") is None
    assert sample(text, "kvitto_redis_memory_used_bytes") is None


def test_what_the_ledger_cannot_be_asked_has_no_series(valkey_server: str) -> None:
    answer = (
        create_app(lambda: console_settings(NO_POSTGRES, valkey_server))
        .test_client()
        .get("/metrics", auth=("any", "secret"))
    )
    assert answer.status_code == 200
    assert (sample(answer.text, "kvitto_ledger_readable"), sample(answer.text, "kvitto_inbox_readable")) == (0, 1)
    assert sample(answer.text, "kvitto_ledger_receipts") is None


def test_ledger_without_a_schema_is_not_readable(postgres_server: str) -> None:
    assert sample(console_metrics(postgres_server), "kvitto_ledger_readable") == 0


def test_ledger_that_hangs_ends_no_scrape(tmp_path: Path, valkey_server: str) -> None:
    with postgres_process(tmp_path) as (dsn, process):
        process.send_signal(signal.SIGSTOP)
        try:
            text = console_metrics(dsn, valkey_server)
        finally:
            process.send_signal(signal.SIGCONT)
    assert (sample(text, "kvitto_ledger_readable"), sample(text, "kvitto_inbox_readable")) == (0, 1)


def test_memory_of_redis_has_its_limit_and_infinity_without_one(
    database: str, redis: Redis, valkey_server: str
) -> None:
    before = str(redis.config_get("maxmemory")["maxmemory"])
    try:
        for limit, shown in (("1000000000", 1e9), ("0", float("inf"))):
            redis.config_set("maxmemory", limit)
            text = console_metrics(database, valkey_server)
            assert sample(text, "kvitto_redis_memory_limit_bytes") == shown
            assert (sample(text, "kvitto_redis_memory_used_bytes") or 0) > 100_000
    finally:
        redis.config_set("maxmemory", before)


def test_console_needs_no_more_of_redis_than_the_documented_rights(
    database: str, redis: Redis, valkey_server: str
) -> None:
    Inbox(redis, "kompar").append(Delivery(uuid4(), "kompar", "decisions", {}, b""))
    redis_user.create(redis, rights=redis_user.READING_RIGHTS)
    try:
        text = console_metrics(database, redis_user.with_login(valkey_server))
    finally:
        redis.acl_deluser(redis_user.NAME)
    assert sample(text, "kvitto_inbox_entries", provider="kompar") == 1
    assert sample(text, "kvitto_redis_memory_used_bytes") is not None


def test_dead_letters_are_counted_by_provider_topic_and_reason(database: str, connection: Connection) -> None:
    connection.execute(DEAD)
    labels = {"provider": "kompar", "topic": "decisions", "reason": "wrong-key"}
    assert sample(console_metrics(database), "kvitto_dead_letters_open", **labels) == 3


def test_overflow_backlog_is_counted_without_canaries_and_what_was_stored(
    database: str, connection: Connection
) -> None:
    connection.execute(
        """
        INSERT INTO overflow (receipt, provider, topic, headers, ciphertext, received_at)
        SELECT gen_random_uuid(), provider, 'decisions', '{}', body, now() - interval '50 s'
        FROM (VALUES ('kompar', 'x'::bytea), ('kompar', NULL), ('canary/kompar', 'x')) AS waiting (provider, body)
        """
    )
    text = console_metrics(database)
    assert sample(text, "kvitto_overflow_entries", provider="kompar") == 1
    assert sample(text, "kvitto_overflow_entries", provider="solaris") == 0
    assert sample(text, "kvitto_overflow_entries", provider="canary/kompar") is None
    assert 50 <= (sample(text, "kvitto_overflow_oldest_seconds", provider="kompar") or 0) < 600


def test_known_outcomes_and_the_size_of_the_ledger_are_there_from_the_start(database: str) -> None:
    text = console_metrics(database)
    for provider in ("kompar", "solaris"):
        for outcome in ("stored", "duplicate", "dead", "discarded"):
            assert sample(text, "kvitto_ledger_receipts", provider=provider, outcome=outcome) == 0
    assert (sample(text, "kvitto_ledger_bytes") or 0) > 1_000_000


@pytest.mark.parametrize("view", ["dead_letter_counts", "overflow_backlog", "replay_counts"])
def test_views_of_scrapes_read_indexes_only(connection: Connection, view: str) -> None:
    connection.execute("SET enable_seqscan = off")  # a table of a few rows has nothing to gain from an index
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN SELECT * FROM reporting.{view}".encode()))
    assert "Index" in plan
    assert "Seq Scan" not in plan
