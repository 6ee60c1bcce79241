"""Sentences for operators: lost deliveries, overdue audits, clocks that differ, silence and schema drift."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from app.domain.clocks import TOLERATED_SECONDS
from app.domain.durations import in_words
from app.storage.reports import Rows

# Audits run every 30 s; a worker that drains a backlog may skip a few.
_UNAUDITED_SECONDS = 180.0
# A change of a schema is a problem for so long; after that it is only listed.
_NEW_DRIFT = timedelta(days=1)
_MOST_SENTENCES = 5


def loss_problems(audits: Rows) -> Iterator[str]:
    """Yield a sentence for each provider of which deliveries are missing."""
    for row in audits:
        if row["missing"]:
            yield f"{row['provider']}: {row['missing']} MISSING: run kvitto audit."


def schedule_problems(audits: Rows) -> Iterator[str]:
    """Yield a sentence for each audit that is overdue, or that was recorded in the future."""
    for row in audits:
        if row["seconds_ago"] > _UNAUDITED_SECONDS:
            minutes = round(row["seconds_ago"] / 60)
            yield f"{row['provider']}: not audited for {minutes} min. Are its worker and beat running?"
        if row["seconds_ago"] < -TOLERATED_SECONDS:
            ahead = f"{-row['seconds_ago']:.0f} s in the future"
            yield f"{row['provider']}: its last audit is {ahead}. Was the clock of Postgres set back?"


def clock_problems(freshness: Rows) -> Iterator[str]:
    """Yield a sentence for each provider at whose last sweep the clocks of Redis and Postgres differed."""
    for row in freshness:
        skew = row["clock_skew_seconds"]
        if abs(skew) > TOLERATED_SECONDS:
            distance = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the clock of Postgres"
            hint = "Have all machines keep time by NTP."
            yield f"{row['provider']}: the clock of Redis, or a time of receipt, is {distance}. {hint}"


def silence_problems(silence: Rows) -> Iterator[str]:
    """Yield a sentence for each provider that is silent, or else for each of its topics."""
    silent = [row for row in silence if row["is_silent"]]
    whole = {row["provider"] for row in silent if row["topic"] is None}
    for row in silent:
        if row["topic"] is None or row["provider"] not in whole:
            of_what = f"{row['topic']} " if row["topic"] else ""
            gap = f"no {of_what}delivery for {in_words(row['seconds'])}, usually one every "
            hint = "Does ingest answer its requests, and is the subscription active? Ask the provider."
            yield f"{row['provider']}: {gap}{in_words(row['usual_gap_seconds'])}. {hint}"


def drift_problems(drift: Rows, now: datetime) -> Iterator[str]:
    """Yield a sentence for what has been new in deliveries for less than a day, the newest first."""
    recent = [row for row in drift if now - row["first_received_at"] < _NEW_DRIFT]
    for row in recent[:_MOST_SENTENCES]:
        seen = f"in {row['deliveries']} deliveries since {row['first_received_at']:%Y-%m-%d %H:%M}"
        yield f"{row['provider']} {row['event_type']}: {_describe(row)}, {seen}. See reporting.schema_drift."
    if (more := len(recent) - _MOST_SENTENCES) > 0:
        yield f"{more} more changes of schemas. See reporting.schema_drift."


def _describe(row: dict[str, Any]) -> str:
    match row["kind"]:
        case "key":
            return f"new key {row['path']} ({row['json_type']})"
        case "type":
            return f"new type of {row['path']}: {row['json_type']}"
        case "value":
            return f"new value of {row['path']}: {row['value']}"
        case _:
            return "so many changes that no more of them are listed"
