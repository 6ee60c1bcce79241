"""Looks into the inboxes: how complete the dashboards are."""

from dataclasses import dataclass
from datetime import datetime

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class Freshness:
    """What waited in an inbox; everything received before `complete_until` was in the ledger."""

    pending: int
    complete_until: datetime


def record(connection: Connection, provider: str, look: Freshness) -> None:
    """Keep what was seen; how complete the ledger is never goes back, unless the clock was."""
    connection.execute(
        """
        INSERT INTO ingest_progress AS kept (provider, complete_until, pending) VALUES (%s, %s, %s)
        ON CONFLICT (provider) DO UPDATE
        SET complete_until = least(greatest(kept.complete_until, excluded.complete_until), clock_timestamp()),
            pending = excluded.pending, observed_at = excluded.observed_at
        """,
        [provider, look.complete_until, look.pending],
    )
