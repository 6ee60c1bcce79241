"""Silence from drain to view: arrivals are counted, the next delivery is expected, a silence is reported once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.audit.problems import silence_problems
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.storage import arrivals, reports
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from config.quiet_hours import QuietHours
from tests.support.metrics import console_metrics
from workers.observations import Observations
from workers.silence_watch import watch

ZONE = ZoneInfo("Europe/Stockholm")
NEVER_QUIET = QuietHours()
BROKEN = InvalidDeliveryError("wrong-key", "no key opens it")


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database, "solaris")
    yield found
    found.close()


def arrive(ledger: Ledger, *times: datetime, topic: str = "STATUS") -> None:
    processed = []
    for number, at in enumerate(times):
        position = StreamId(round(at.timestamp() * 1000), number)
        delivery = Delivery(UUID(int=number), "solaris", topic, {}, b"")
        processed.append(ProcessedDelivery(ReceivedDelivery(delivery, at, UUID(int=0), position), BROKEN))
    observations = Observations(ledger)
    observations.add(processed)
    observations.record()


def has_delivered(connection: Connection, weeks: float = 4, minutes_ago: float = 60) -> datetime:
    """Give Solaris a history of one delivery a minute; return when the last of them was received."""
    last = reports.clock(connection) - timedelta(minutes=minutes_ago)
    query = """
        INSERT INTO hourly_arrivals
        SELECT 'solaris', topic, hour, 60, repeat('000001', 60)::bit(360), least(hour + interval '59 min', %s)
        FROM unnest(ARRAY['', 'STATUS']) AS topic,
             generate_series(date_trunc('hour', %s - make_interval(hours => %s)), %s, '1 hour') AS hour
    """
    connection.execute(query, [last, last, round(weeks * 168), last])
    return last


def complete_until(connection: Connection, moment: datetime) -> None:
    query = """
        INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('solaris', %s, 0)
        ON CONFLICT (provider) DO UPDATE SET complete_until = excluded.complete_until
    """
    connection.execute(query, [moment])


def look(connection: Connection) -> None:
    watch(connection, "solaris", ZONE, NEVER_QUIET)


def test_arrivals_are_counted_by_hour_and_slot_whatever_their_order(ledger: Ledger, connection: Connection) -> None:
    hour = datetime(2026, 11, 27, 9, tzinfo=UTC)
    arrive(ledger, hour + timedelta(seconds=25), hour + timedelta(hours=1))
    arrive(ledger, hour + timedelta(seconds=21), hour + timedelta(seconds=3599.999), topic="OTHER")
    found = arrivals.load(connection, "solaris")
    counts = {topic: [tuple(count) for count in series.hours.values()] for topic, series in found.items()}
    assert counts == {"": [(3, 2), (1, 1)], "STATUS": [(1, 1), (1, 1)], "OTHER": [(2, 2)]}
    assert found["STATUS"].last_received_at == hour + timedelta(hours=1)


def test_a_silence_is_seen_and_ends_with_the_next_delivery(
    database: str, ledger: Ledger, connection: Connection
) -> None:
    has_delivered(connection)
    now = reports.clock(connection)
    complete_until(connection, now)
    look(connection)
    look(connection)
    (whole, topic) = reports.silence(connection)
    assert (whole["topic"], whole["is_silent"], topic["topic"], topic["is_silent"]) == (None, True, "STATUS", True)
    (sentence,) = map(str, silence_problems([whole, topic]))
    assert sentence.startswith("solaris: no delivery for 1 h, usually one every 1 min (since ")
    served = console_metrics(database)
    assert 'kvitto_silent{provider="solaris",topic=""} 1.0' in served
    assert 'kvitto_usual_gap_seconds{provider="solaris",topic="STATUS"} 60.0' in served
    arrive(ledger, now)
    assert [row["is_silent"] for row in reports.silence(connection)] == [False, False]
    look(connection)
    assert list(silence_problems(reports.silence(connection))) == []


def test_a_silent_topic_of_a_provider_that_delivers_others_is_named(ledger: Ledger, connection: Connection) -> None:
    has_delivered(connection)
    now = reports.clock(connection)
    arrive(ledger, now, topic="OTHER")
    complete_until(connection, now)
    look(connection)
    (sentence,) = map(str, silence_problems(reports.silence(connection)))
    assert sentence.startswith("solaris: no STATUS delivery for 1 h, usually one every 1 min (since ")


def test_a_silence_is_none_while_the_ledger_is_not_complete(connection: Connection) -> None:
    last = has_delivered(connection)
    look(connection)
    assert [row["is_silent"] for row in reports.silence(connection)] == [False, False]  # no sweep yet
    complete_until(connection, last + timedelta(minutes=2))
    assert [row["is_silent"] for row in reports.silence(connection)] == [False, False]
    complete_until(connection, last + timedelta(minutes=59))
    assert [row["is_silent"] for row in reports.silence(connection)] == [True, True]


def test_a_new_provider_and_quiet_hours_are_no_silence(connection: Connection) -> None:
    has_delivered(connection, weeks=1)
    complete_until(connection, reports.clock(connection))
    look(connection)
    expected = {(row["usual_gap_seconds"], row["expected_by"], row["is_silent"]) for row in reports.silence(connection)}
    assert expected == {(None, None, False)}
    connection.execute("DELETE FROM hourly_arrivals")
    has_delivered(connection, weeks=4)
    watch(connection, "solaris", ZONE, QuietHours.parse("solaris 00-24"))
    assert [row["is_silent"] for row in reports.silence(connection)] == [False, False]


def test_a_silence_of_months_stays_one_and_what_was_usual_before_is_kept(connection: Connection) -> None:
    last = has_delivered(connection, weeks=8, minutes_ago=60 * 24 * 100)
    old = last - timedelta(weeks=9, days=1)
    row = "('solaris', '', %s, 1, repeat('1', 360)::bit(360), %s)"
    connection.execute(f"INSERT INTO hourly_arrivals VALUES {row}".encode(), [old, old])
    complete_until(connection, reports.clock(connection))
    look(connection)
    look(connection)
    assert [row["is_silent"] for row in reports.silence(connection)] == [True, True]
    assert min(arrivals.load(connection, "solaris")[""].hours) > old
