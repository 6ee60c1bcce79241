"""When deliveries arrived: counts by hour, and by when the next delivery is expected."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from app.domain.silence import MOST_WEEKS, SLOT_SECONDS, SLOTS_PER_HOUR, Expectation, HourCount, Hours
from app.storage.connection import Connection, columns

# Stands for all topics of a provider.
ALL_TOPICS = ""
_HOUR_MS = 3_600_000
_SLOT_MS = SLOT_SECONDS * 1000


class Series(NamedTuple):
    """What arrived of a topic, and the last of it."""

    hours: Hours
    last_received_at: datetime


class Arrivals:
    """Counts arrivals in memory until they are recorded."""

    def __init__(self) -> None:
        # By topic and hour: number, slots as the bits of a number, newest time of receipt. Times are in milliseconds.
        self._hours: dict[tuple[str, int], tuple[int, int, int]] = {}

    def add(self, topic: str, received_ms: int) -> None:
        """Count an arrival, by its time of receipt in milliseconds since 1970."""
        hour, rest = divmod(received_ms, _HOUR_MS)
        for key in ((ALL_TOPICS, hour), (topic, hour)):
            receipts, slots, newest = self._hours.get(key, (0, 0, 0))
            self._hours[key] = receipts + 1, slots | 1 << rest // _SLOT_MS, max(newest, received_ms)

    @property
    def is_empty(self) -> bool:
        """Whether nothing arrived."""
        return not self._hours

    def record(self, connection: Connection, provider: str) -> None:
        """Add the counts to the rows of their hours; there must be some."""
        query = """
            INSERT INTO hourly_arrivals AS kept (provider, topic, hour, receipts, active, last_received_at)
            SELECT %s, * FROM unnest(%s::text[], %s::timestamptz[], %s::bigint[], %s::bit(360)[], %s::timestamptz[])
            ON CONFLICT (provider, topic, hour) DO UPDATE
            SET receipts = kept.receipts + excluded.receipts, active = kept.active | excluded.active,
                last_received_at = greatest(kept.last_received_at, excluded.last_received_at)
        """
        rows = (
            (topic, _time(hour * _HOUR_MS), receipts, f"{slots:0{SLOTS_PER_HOUR}b}", _time(newest))
            for (topic, hour), (receipts, slots, newest) in sorted(self._hours.items())
        )
        connection.execute(query, [provider, *columns(rows)])

    def clear(self) -> None:
        """Forget what was recorded."""
        self._hours.clear()


def load(connection: Connection, provider: str) -> dict[str, Series]:
    """Return the arrivals of the last weeks, by topic."""
    query = """
        SELECT topic, hour, receipts, bit_count(active)::integer AS slots, last_received_at
        FROM hourly_arrivals WHERE provider = %s ORDER BY hour
    """
    hours: dict[str, dict[datetime, HourCount]] = {}
    newest: dict[str, datetime] = {}
    for topic, hour, receipts, slots, last_received_at in connection.execute(query, [provider]):
        hours.setdefault(topic, {})[hour] = HourCount(receipts, slots)
        newest[topic] = last_received_at
    return {topic: Series(hours[topic], newest[topic]) for topic in hours}


def forget_old(connection: Connection, provider: str) -> None:
    """Delete hours that nothing is learned from any more: those long before the last delivery."""
    query = """
        DELETE FROM hourly_arrivals AS old USING expected_arrivals AS expected
        WHERE old.provider = %s AND (expected.provider, expected.topic) = (old.provider, old.topic)
          AND old.hour < expected.last_received_at - make_interval(weeks => %s)
    """
    connection.execute(query, [provider, MOST_WEEKS + 1])


def record_expectations(
    connection: Connection, provider: str, expected: Mapping[str, tuple[datetime, Expectation | None]]
) -> None:
    """Record what is expected after the last delivery of each topic."""
    query = """
        INSERT INTO expected_arrivals AS kept (provider, topic, last_received_at, usual_gap_seconds, expected_by)
        VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (provider, topic) DO UPDATE
        SET last_received_at = excluded.last_received_at, usual_gap_seconds = excluded.usual_gap_seconds,
            expected_by = excluded.expected_by
    """
    for topic, (last_received_at, expectation) in sorted(expected.items()):
        gap, expected_by = expectation or (None, None)
        connection.execute(query, [provider, topic, last_received_at, gap, expected_by])


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
