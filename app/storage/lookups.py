"""Looks receipts up by id: in the ledger, and among those that wait in the overflow."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """A receipt in the ledger; a dead letter may have neither event type nor entity."""

    provider: str
    topic: str
    event_type: str | None
    entity_id: str | None
    outcome: str


def recorded(connection: Connection, receipts: Collection[UUID]) -> dict[UUID, RecordedReceipt]:
    """Return those of the receipts that are in the ledger, in one snapshot."""
    rows = connection.execute(
        """
        SELECT receipt, provider, topic, event_type, entity_id, outcome
        FROM reporting.deliveries WHERE receipt = ANY(%s)
        """,
        [list(receipts)],
    )
    return {row.receipt: RecordedReceipt(*row[1:]) for row in rows}


def waiting(connection: Connection, receipts: Collection[UUID]) -> set[UUID]:
    """Return those of the receipts that wait in the overflow."""
    query = "SELECT receipt FROM overflow WHERE receipt = ANY(%s) AND ciphertext IS NOT NULL"
    return {row.receipt for row in connection.execute(query, [list(receipts)])}
