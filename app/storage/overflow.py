"""The overflow: deliveries that Redis could not make durable, or that are too large for it, wait in Postgres."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.storage.connection import Connection, fetch_one
from config.celery import ABANDONED_SECONDS, BATCH_ENTRIES

# The epoch of every row: unlike an inbox, the overflow is never replaced without the ledger.
EPOCH = UUID(int=0)
# A batch ends at either bound.
_LIMITS = {"abandoned": ABANDONED_SECONDS, "entries": BATCH_ENTRIES, "bytes": 8 * 1024 * 1024, "epoch": EPOCH}
# A claim from the future is abandoned as well: the clock was set back.
_CLAIM = """
    WITH waiting AS (
        SELECT receipt, received_at, seq, octet_length(ciphertext) AS size FROM overflow
        WHERE provider = %(provider)s AND ciphertext IS NOT NULL
          AND (claimed_at IS NULL OR abs(extract(epoch FROM clock_timestamp() - claimed_at)) >
               CASE claimed_by WHEN %(consumer)s THEN %(own)s ELSE %(abandoned)s END)
        ORDER BY received_at, seq LIMIT %(entries)s
        FOR UPDATE SKIP LOCKED
    ), summed AS (
        SELECT receipt, sum(size) OVER (ORDER BY received_at, seq) - size AS before FROM waiting
    )
    UPDATE overflow SET delivery_count = delivery_count + 1, claimed_by = %(consumer)s, claimed_at = clock_timestamp()
    FROM summed WHERE overflow.receipt = summed.receipt AND summed.before < %(bytes)s
    RETURNING overflow.receipt, provider, topic, headers, ciphertext, received_at, %(epoch)s AS epoch, seq,
              delivery_count, traceparent
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries wait, and when the oldest was received."""

    entries: int
    oldest_at: datetime | None


def append(connection: Connection, delivery: Delivery, not_before: datetime) -> datetime:
    """Append a delivery, received now by this server's clock, or at `not_before` if that is later; return that time.

    Appending it again changes nothing, and returns `not_before`.
    """
    query = """
        INSERT INTO overflow (receipt, provider, topic, headers, ciphertext, traceparent, received_at)
        VALUES (%s, %s, %s, %s, %b, %s, greatest(date_trunc('milliseconds', clock_timestamp()), %s))
        ON CONFLICT DO NOTHING
        RETURNING received_at
    """
    headers = Jsonb(dict(delivery.headers))
    values = [
        delivery.receipt, delivery.provider, delivery.topic, headers, delivery.sealed, delivery.traceparent, not_before,
    ]  # fmt: skip
    row = connection.execute(query, values).fetchone()
    return row.received_at if row else not_before


def to_received(row: Any) -> ReceivedDelivery:
    """Return the delivery of a row of the overflow, or of receipts joined with bodies."""
    delivery = Delivery(row.receipt, row.provider, row.topic, row.headers, row.ciphertext, row.traceparent)
    stream_id = StreamId.at(row.received_at, row.seq)
    return ReceivedDelivery(delivery, row.received_at, row.epoch, stream_id, row.delivery_count)


class Overflow:
    """One provider's part of the overflow, for workers: claimed and acknowledged like an inbox."""

    def __init__(self, connected: Callable[[], AbstractContextManager[Connection]], provider: str) -> None:
        self._connected = connected
        self._resumed_at = -math.inf
        self.provider = provider

    def resume(self) -> None:
        """Have later claims include what their consumer has claimed until now, since it was interrupted.

        Nothing is written: to find those claims would take as long as there is much that waits.
        """
        self._resumed_at = time.monotonic()

    def claim(self, consumer: str) -> list[ReceivedDelivery]:
        """Claim a batch in order of receipt: what is unclaimed, or was claimed too long ago."""
        own = min(time.monotonic() - self._resumed_at, ABANDONED_SECONDS)
        values = {"provider": self.provider, "consumer": consumer, "own": own}
        with self._connected() as connection:
            rows = connection.execute(_CLAIM, _LIMITS | values).fetchall()
        return sorted(map(to_received, rows), key=lambda received: received.stream_id)

    def consumers_with_claims(self) -> list[str]:
        """Return the consumers that hold claims."""
        with self._connected() as connection:
            query = """
                SELECT DISTINCT claimed_by FROM overflow
                WHERE provider = %s AND ciphertext IS NOT NULL AND claimed_at IS NOT NULL
            """
            return [row.claimed_by for row in connection.execute(query, [self.provider])]

    def release(self, consumer: str) -> None:
        """Give up what `consumer` claimed, for the first consumer that claims it."""
        with self._connected() as connection:
            query = """
                UPDATE overflow SET claimed_at = NULL
                WHERE provider = %s AND ciphertext IS NOT NULL AND claimed_by = %s AND claimed_at IS NOT NULL
            """
            connection.execute(query, [self.provider, consumer])

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete the bodies of deliveries that are in the ledger now."""
        receipts = [received.delivery.receipt for received in batch]
        with self._connected() as connection:
            connection.execute("UPDATE overflow SET ciphertext = NULL WHERE receipt = ANY(%s)", [receipts])

    def waiting(self) -> Waiting:
        """Return what waits."""
        with self._connected() as connection:
            query = "SELECT count(*), min(received_at) FROM overflow WHERE provider = %s AND ciphertext IS NOT NULL"
            row = fetch_one(connection, query, [self.provider])
        return Waiting(*row)


class CanaryOverflow(Overflow):
    """Canaries in the overflow: they are in no account, so their rows are deleted."""

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete canaries that were recorded."""
        with self._connected() as connection:
            connection.execute("SELECT forget_canaries(%s)", [[received.delivery.receipt for received in batch]])


def find_waiting(connection: Connection, receipts: Collection[UUID]) -> set[UUID]:
    """Return those of the receipts that wait in the overflow."""
    query = "SELECT receipt FROM overflow WHERE receipt = ANY(%s) AND ciphertext IS NOT NULL"
    return {row.receipt for row in connection.execute(query, [list(receipts)])}
