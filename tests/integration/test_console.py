"""The console's page on ledgers in every state: all well, with problems, unreadable."""

import re
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from redis import Redis

from app.console.access import COOKIE
from app.console.app import create_app
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.storage.connection import Connection
from tests.support.console_client import log_in
from tests.support.metrics import NO_REDIS, console_settings
from tests.support.servers import eventually

SWEPT = "INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now() - %s::interval, 7)"


def console(database: str, redis: str = NO_REDIS) -> FlaskClient:
    return create_app(lambda: console_settings(database, redis)).test_client()


def append(redis: Redis, count: int) -> None:
    inbox = Inbox(redis, "kompar")
    inbox.append_all([Delivery(uuid4(), "kompar", "decisions", {}, b"") for _ in range(count)])


def page(database: str, redis: str = NO_REDIS) -> str:
    return log_in(database, "viewer", redis).get("/")


def test_page_of_a_healthy_ledger_says_all_well(database: str, connection: Connection, valkey_server: str) -> None:
    connection.execute(SWEPT, ["3 seconds"])
    eventually(lambda: "All well" in page(database, redis=valkey_server), "a look that a busy machine did not cut off")
    text = page(database, redis=valkey_server)
    assert "<title>✓ all well · Kvitto</title>" in text
    assert "up to date" in text


def test_page_without_any_sweep_says_so(database: str) -> None:
    text = page(database)
    assert "Something is wrong" in text
    assert "No inbox has been swept yet" in text


def test_page_names_a_provider_that_is_behind(database: str, connection: Connection) -> None:
    connection.execute(SWEPT, ["5 minutes"])
    text = page(database)
    assert "<title>✗ something is wrong · Kvitto</title>" in text
    assert "kompar: the ledger is behind" in text
    assert "<small>5 min ago</small>" in text


def test_page_of_a_watermark_in_the_future_says_that_the_ledger_is_behind(
    database: str, connection: Connection
) -> None:
    connection.execute(SWEPT, ["-5 minutes"])
    assert "kompar: the ledger is behind" in page(database)


@pytest.mark.parametrize(
    ("table", "row", "problem"),
    [
        ("audits", "('kompar', now(), 9, 0, 6, 0, 0, 0, 3)", r"kompar: 3 MISSING\. Run: kvitto audit\."),
        (
            "canaries",
            "('kompar', now() + interval '90 s')",
            r"kompar: the newest canary was sent (89|90) s in the f",
        ),
        (
            "canaries",
            "('kompar', now() - interval '90 s')",
            r"kompar: the newest canary is 9",
        ),
    ],
)
def test_readyz_names_what_is_missing_and_canaries_that_are_late_or_in_the_future(
    database: str, connection: Connection, table: str, row: str, problem: str
) -> None:
    connection.execute("INSERT INTO canaries VALUES ('kompar', now()), ('solaris', now())")
    assert console(database).get("/readyz").status_code == 200
    connection.execute("DELETE FROM canaries WHERE provider = 'kompar'")
    connection.execute(f"INSERT INTO {table} VALUES {row}".encode())
    answer = console(database).get("/readyz")
    assert answer.status_code == 503
    assert re.search(problem, answer.text)


def test_page_and_metrics_name_a_consumer_that_has_not_read_for_a_day(database: str, connection: Connection) -> None:
    connection.execute(
        "INSERT INTO feed_cursors (consumer, provider, read_at) VALUES ('mailer', 'kompar', now() - interval '2 days')"
    )
    assert "kompar: consumer mailer has not read the feed for 2 d" in page(database)
    metrics = console(database).get("/metrics", auth=("any", "secret")).text
    assert 'kvitto_feed_lag_seconds{consumer="mailer",provider="kompar"} 0.0' in metrics


def test_page_shows_what_waits_now_although_the_last_sweep_saw_nothing(
    database: str, connection: Connection, redis: Redis, valkey_server: str
) -> None:
    connection.execute(SWEPT.replace("7)", "0)"), ["3 seconds"])
    append(redis, 120)
    assert "<dd>120, the oldest for" in page(database, redis=valkey_server)


def test_page_without_redis_says_that_what_waits_is_not_known(database: str, connection: Connection) -> None:
    connection.execute(SWEPT, ["3 seconds"])
    text = page(database)
    assert "How many deliveries wait is not known: redis-unreachable. Check Redis" in text
    assert "<dd>7" not in text


def test_page_escapes_what_a_provider_sent(database: str, connection: Connection) -> None:
    connection.execute(
        """
        INSERT INTO receipts (receipt, provider, topic, outcome, reason, received_at, epoch, seq)
        VALUES (gen_random_uuid(), '<script>', 'decisions', 'dead', 'invalid', now(), gen_random_uuid(), 0)
        """
    )
    connection.execute("INSERT INTO dead_letters SELECT receipt, reason, '<b>detail</b>' FROM receipts")
    receipt = connection.execute("SELECT receipt FROM receipts").fetchone()
    assert receipt is not None
    assert "&lt;script&gt;: 1 delivery waits as a dead letter" in page(database)
    person = log_in(database)
    assert "&lt;b&gt;detail&lt;/b&gt;" in person.get(f"/deliveries/{receipt[0]}")
    for path in ("/", "/deliveries", "/dead-letters", f"/deliveries/{receipt[0]}"):
        assert "<script>" not in person.get(path)


def test_page_without_a_schema_names_the_command(postgres_server: str) -> None:
    client = console(postgres_server)
    client.set_cookie(COOKIE, "any")
    answer = client.get("/")
    assert answer.status_code == 503
    assert "kvitto migrate" in answer.text


def test_pages_and_readyz_report_an_unreachable_database() -> None:
    nowhere = "postgresql://kvitto@127.0.0.1:1/kvitto"
    client = console(nowhere)
    client.set_cookie(COOKIE, "any")
    for path in ("/", "/login"):
        answer = client.get(path)
        assert (answer.status_code, "postgres-unavailable" in answer.text) == (503, True)
    probe = console(nowhere).get("/readyz")
    assert (probe.status_code, probe.content_type) == (503, "text/plain; charset=utf-8")
    assert console(nowhere).get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/", "/login", "/static/style.css", "/livez", "/metrics", "/nowhere"])
def test_every_answer_has_the_security_headers(database: str, path: str) -> None:
    for answer in (console(database).get(path), log_in(database).client.get(path)):
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == ("no-cache" if path.startswith("/static/") else "no-store")
        answer.close()
