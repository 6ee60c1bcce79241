"""Looks receipts up by their ids: what the ledger says of them, and which wait in the overflow."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """A receipt as the ledger has it; of a dead letter event type and entity may not be known."""

    provider: str
    topic: str
    event_type: str | None
    entity_id: str | None
    outcome: str


def recorded(connection: Connection, receipts: Collection[UUID]) -> dict[UUID, RecordedReceipt]:
    """Return what the ledger has of these receipts, in one snapshot."""
    rows = connection.execute(
        """
        SELECT receipt, provider, topic, event_type, entity_id, outcome
        FROM reporting.deliveries WHERE receipt = ANY(%s)
        """,
        [list(receipts)],
    )
    return {
        row.receipt: RecordedReceipt(row.provider, row.topic, row.event_type, row.entity_id, row.outcome)
        for row in rows
    }


def waiting(connection: Connection, receipts: Collection[UUID]) -> set[UUID]:
    """Return those of the receipts that wait in the overflow."""
    rows = connection.execute(
        "SELECT receipt FROM overflow WHERE receipt = ANY(%s) AND ciphertext IS NOT NULL", [list(receipts)]
    )
    return {row.receipt for row in rows}
