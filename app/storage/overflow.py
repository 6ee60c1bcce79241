"""The overflow: what Redis could not take durably, or is too large to fill it with, waits in Postgres instead."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.storage.connection import Connection
from config.celery import ABANDONED_SECONDS, BATCH_ENTRIES

# A batch ends at either bound.
_BATCH_BYTES = 8 * 1024 * 1024
# The epoch of everything that came this way: unlike an inbox, the ledger's own database is never replaced alone.
EPOCH = UUID(int=0)
# A claim from the future is abandoned too: the clock was set back.
_CLAIM = """
    WITH waiting AS (
        SELECT receipt, received_at, seq, octet_length(ciphertext) AS size FROM overflow
        WHERE provider = %(provider)s AND ciphertext IS NOT NULL
          AND (claimed_at IS NULL OR abs(extract(epoch FROM clock_timestamp() - claimed_at)) > %(abandoned)s)
        ORDER BY received_at, seq LIMIT %(entries)s
        FOR UPDATE SKIP LOCKED
    ), summed AS (
        SELECT receipt, sum(size) OVER (ORDER BY received_at, seq) - size AS before FROM waiting
    )
    UPDATE overflow SET delivery_count = delivery_count + 1, claimed_by = %(consumer)s, claimed_at = clock_timestamp()
    FROM summed WHERE overflow.receipt = summed.receipt AND summed.before < %(bytes)s
    RETURNING overflow.receipt, topic, headers, ciphertext, received_at, seq, delivery_count
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries wait, and when the oldest was received."""

    entries: int
    oldest_at: datetime | None


def append(connection: Connection, delivery: Delivery, not_before: datetime) -> None:
    """Keep a delivery; received now by this server's clock, or at `not_before` if that is later.

    Doing it again changes nothing.
    """
    connection.execute(
        """
        INSERT INTO overflow (receipt, provider, topic, headers, ciphertext, received_at)
        VALUES (%s, %s, %s, %s, %b, greatest(date_trunc('milliseconds', clock_timestamp()), %s))
        ON CONFLICT DO NOTHING
        """,
        [
            delivery.receipt, delivery.provider, delivery.topic, Jsonb(dict(delivery.headers)), delivery.sealed,
            not_before,
        ],
    )  # fmt: skip


class Overflow:
    """One provider's share of the overflow, as workers see it: claimed and acknowledged like an inbox."""

    def __init__(self, connected: Callable[[], AbstractContextManager[Connection]], provider: str) -> None:
        self._connected = connected
        self.provider = provider

    def claim(self, consumer: str) -> list[ReceivedDelivery]:
        """Claim a batch in order of receipt: what nobody has, or whose claimant has been silent for too long."""
        with self._connected() as connection:
            rows = connection.execute(
                _CLAIM,
                {
                    "provider": self.provider,
                    "consumer": consumer,
                    "abandoned": ABANDONED_SECONDS,
                    "entries": BATCH_ENTRIES,
                    "bytes": _BATCH_BYTES,
                },
            ).fetchall()
        return sorted(map(self._received, rows), key=lambda each: each.stream_id)

    def consumers_with_claims(self) -> list[str]:
        """Return who holds claims."""
        with self._connected() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT claimed_by FROM overflow
                WHERE provider = %s AND ciphertext IS NOT NULL AND claimed_at IS NOT NULL
                """,
                [self.provider],
            )
            return [row.claimed_by for row in rows]

    def release(self, consumer: str) -> None:
        """Leave what `consumer` claimed to whoever comes first."""
        with self._connected() as connection:
            connection.execute(
                """
                UPDATE overflow SET claimed_at = NULL
                WHERE provider = %s AND ciphertext IS NOT NULL AND claimed_by = %s AND claimed_at IS NOT NULL
                """,
                [self.provider, consumer],
            )

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Let go of the bodies of deliveries that are in the ledger now."""
        receipts = [received.delivery.receipt for received in batch]
        with self._connected() as connection:
            connection.execute("UPDATE overflow SET ciphertext = NULL WHERE receipt = ANY(%s)", [receipts])

    def waiting(self) -> Waiting:
        """Look at what waits."""
        with self._connected() as connection:
            row = connection.execute(
                """
                SELECT count(*) AS entries, min(received_at) AS oldest_at FROM overflow
                WHERE provider = %s AND ciphertext IS NOT NULL
                """,
                [self.provider],
            ).fetchone()
        assert row is not None  # noqa: S101 - aggregates return one row
        return Waiting(row.entries, row.oldest_at)

    def oldest_seconds(self) -> float:
        """Return how long the oldest delivery has been waiting, by this server's clock; 0 if none is."""
        with self._connected() as connection:
            (row,) = connection.execute(
                """
                SELECT coalesce(extract(epoch FROM clock_timestamp() - min(received_at)), 0)::double precision AS oldest
                FROM overflow WHERE provider = %s AND ciphertext IS NOT NULL
                """,
                [self.provider],
            )
        return float(row.oldest)

    def _received(self, row: Any) -> ReceivedDelivery:
        return ReceivedDelivery(
            Delivery(row.receipt, self.provider, row.topic, row.headers, row.ciphertext),
            row.received_at,
            EPOCH,
            StreamId(round(row.received_at.timestamp() * 1000), row.seq),
            row.delivery_count,
        )
