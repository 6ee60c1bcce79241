"""Learns by when each provider usually delivers: the console reports who has been silent for longer."""

from datetime import datetime, tzinfo

from app.domain import silence
from app.domain.silence import Expectation
from app.storage import arrivals
from app.storage.connection import Connection
from config.quiet_hours import QuietHours


def watch(connection: Connection, provider: str, zone: tzinfo, quiet_hours: QuietHours) -> None:
    """Learn what is usual now, record what is expected next."""
    quiet = quiet_hours.of(provider)
    expected: dict[str, tuple[datetime, Expectation | None]] = {}
    for topic, series in arrivals.load(connection, provider).items():
        last = series.last_received_at  # what is usual stays so however long the silence lasts
        rates = silence.learn(series.hours, last, zone, quiet)
        expected[topic] = last, rates.expect(series.hours, last) if rates else None
    arrivals.record_expectations(connection, provider, expected)
    arrivals.forget_old(connection, provider)
