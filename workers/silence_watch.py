"""Watches for providers that have been silent for longer than chance explains."""

import logging
from collections.abc import Mapping
from datetime import datetime, tzinfo

from app.domain import silence
from app.domain.silence import Expectation
from app.storage import arrivals, reports
from app.storage.connection import Connection
from config.quiet_hours import QuietHours

logger = logging.getLogger(__name__)


def watch(connection: Connection, provider: str, zone: tzinfo, quiet_hours: QuietHours) -> None:
    """Learn what is usual now, record what is expected next, and log each silence once when it begins and ends."""
    quiet = quiet_hours.of(provider)
    expected: dict[str, tuple[datetime, Expectation | None]] = {}
    for topic, series in arrivals.load(connection, provider).items():
        last = series.last_received_at  # what is usual stays so however long the silence lasts
        rates = silence.learn(series.hours, last, zone, quiet)
        expected[topic] = last, rates.expect(series.hours, last) if rates else None
    arrivals.record_expectations(connection, provider, expected)
    arrivals.forget_old(connection, provider)
    _report(connection, provider)


def _report(connection: Connection, provider: str) -> None:
    silent, heard = arrivals.mark_reported(connection, provider)
    for row in reports.silence(connection):
        if row["provider"] == provider and row["topic"] in silent:
            logger.warning("silence_began", extra=_fields(row))
        elif row["provider"] == provider and row["topic"] in heard:
            logger.warning("silence_ended", extra=_fields(row))


def _fields(row: Mapping[str, object]) -> dict[str, object]:
    return {name: row[name] for name in ("provider", "topic", "last_received_at", "usual_gap_seconds")}
