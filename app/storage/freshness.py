"""Ingest progress: how complete the ledger is, per provider."""

from dataclasses import dataclass
from datetime import datetime

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class Freshness:
    """How many deliveries wait, and the watermark: everything received before it is in the ledger."""

    pending: int
    complete_until: datetime


def record(connection: Connection, provider: str, freshness: Freshness) -> None:
    """Record what a sweep saw. The watermark never goes back, unless the server's clock was set back."""
    connection.execute(
        """
        INSERT INTO ingest_progress AS kept (provider, complete_until, pending) VALUES (%s, %s, %s)
        ON CONFLICT (provider) DO UPDATE
        SET complete_until = least(greatest(kept.complete_until, excluded.complete_until), clock_timestamp()),
            pending = excluded.pending, observed_at = excluded.observed_at
        """,
        [provider, freshness.complete_until, freshness.pending],
    )
