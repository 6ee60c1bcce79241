"""Times of receipt follow Postgres' clock and never go back."""

import time
from datetime import UTC, datetime, timedelta

from app.ingest.receipt_clock import ReceiptClock

HOUR_MS = 3_600_000


def machine_ms() -> int:
    return time.time_ns() // 1_000_000


def test_receipt_clock_follows_the_machine_until_postgres_answers() -> None:
    before = machine_ms()
    assert before - 1 <= ReceiptClock().time_ms("kompar") <= machine_ms() + 1


def test_receipt_clock_follows_postgres() -> None:
    clock = ReceiptClock()
    clock.synchronise(datetime.now(UTC) + timedelta(hours=1), asked_at=time.monotonic())
    assert clock.time_ms("kompar") - machine_ms() > HOUR_MS - 60_000


def test_receipt_clock_ignores_an_answer_that_took_long() -> None:
    clock = ReceiptClock()
    clock.synchronise(datetime.now(UTC) + timedelta(hours=1), asked_at=time.monotonic() - 10)
    assert clock.time_ms("kompar") - machine_ms() < 60_000


def test_receipt_clock_is_never_before_the_newest_receipt_of_its_provider() -> None:
    clock = ReceiptClock()
    ahead = machine_ms() + HOUR_MS
    clock.observe("kompar", ahead)
    clock.observe("kompar", ahead - 1)
    assert clock.time_ms("kompar") == ahead + 1
    assert clock.time_ms("solaris") < ahead
