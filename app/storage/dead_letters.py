"""Dead letters: deliveries that could not be opened, validated or stored, kept sealed until they can."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.delivery import Delivery, Position, Received
from app.storage.connection import Connection

_COLUMNS = "receipt, provider, topic, reason, detail, received_at, replayed_at"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; every part that is None selects all."""

    receipt: UUID | None = None
    provider: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the values for `_SELECTED`."""
        return {
            "receipt": self.receipt,
            "provider": self.provider,
            "reason": self.reason,
            "since": self.since,
        }


_SELECTED = """
    outcome = 'dead'
    AND receipt = coalesce(%(receipt)s, receipt) AND provider = coalesce(%(provider)s, provider)
    AND reason = coalesce(%(reason)s, reason) AND received_at >= coalesce(%(since)s, received_at)
"""


def select(connection: Connection, selection: Selection, limit: int | None = None) -> list[dict[str, Any]]:
    """Return dead letters, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM receipts WHERE {_SELECTED} ORDER BY received_at, receipt LIMIT %(limit)s",  # noqa: S608 - constants
        selection.parameters() | {"limit": limit},
    )
    return [row._asdict() for row in rows]


def find(connection: Connection, receipt: UUID) -> dict[str, Any] | None:
    """Return one receipt that is or was a dead letter, with the size of its sealed body in bytes."""
    row = connection.execute(
        f"""
        SELECT {_COLUMNS}, outcome::text AS outcome, processed_at, octet_length(sealed) AS sealed_bytes
        FROM receipts JOIN bodies USING (receipt)
        WHERE receipt = %s AND (outcome = 'dead' OR replayed_at IS NOT NULL)
        """,  # noqa: S608 - constants
        [receipt],
    ).fetchone()
    return row and row._asdict()


def load(connection: Connection, receipts: Sequence[UUID]) -> list[Received]:
    """Return deliveries as they were received, to be settled again."""
    rows = connection.execute(
        """
        SELECT receipt, provider, topic, headers, sealed, received_at, epoch, seq
        FROM receipts JOIN bodies USING (receipt)
        WHERE receipt = ANY(%s)
        """,
        [list(receipts)],
    )
    return [
        Received(
            Delivery(row.receipt, row.provider, row.topic, row.headers, row.sealed),
            row.received_at,
            row.epoch,
            Position(round(row.received_at.timestamp() * 1000), row.seq),
        )
        for row in rows
    ]
