"""Accepted losses: what an epoch lost for good and an operator settled otherwise, with who, when and why."""

from dataclasses import dataclass
from uuid import UUID

from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class Loss:
    """How many entries an epoch lost."""

    provider: str
    epoch: UUID
    entries: int


def accept(connection: Connection, loss: Loss, reason: str, operator: str) -> None:
    """Note that a loss is settled; what turns out lost beyond it is missing still."""
    connection.execute(
        "INSERT INTO accepted_losses (provider, epoch, entries, reason, operator) VALUES (%s, %s, %s, %s, %s)",
        [loss.provider, loss.epoch, loss.entries, reason, operator],
    )


def accepted(connection: Connection, provider: str) -> dict[UUID, int]:
    """Return how many entries of each epoch are settled."""
    rows = connection.execute(
        "SELECT epoch, sum(entries)::bigint AS entries FROM accepted_losses WHERE provider = %s GROUP BY epoch",
        [provider],
    )
    return {row.epoch: row.entries for row in rows}
