"""Sentences for operators about lost deliveries, overdue audits and clocks that differ."""

from collections.abc import Iterator

from app.domain.clocks import TOLERATED_SECONDS
from app.storage.reports import Rows

# Audits run every 30 s; a worker that drains a backlog may skip a few.
_UNAUDITED_SECONDS = 180.0


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
