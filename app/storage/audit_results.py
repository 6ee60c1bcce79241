"""Results of the conservation audit: each provider's last one, and the losses that operators accepted."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.storage.connection import Connection, fetch_one

# How often the log repeats that entries are missing, while their number stays the same.
_REPEAT_SECONDS = 300


def record(connection: Connection, account: dict[str, Any]) -> bool:
    """Record an audit, a value per column; return whether the log has to report missing entries now."""
    row = fetch_one(
        connection,
        """
        INSERT INTO audits AS kept (provider, audited_at, appended, overflowed, receipts, copies, in_flight,
                                    accepted_loss, missing, alerted_at)
        SELECT %(provider)s, now, %(appended)s, %(overflowed)s, %(receipts)s, %(copies)s, %(in_flight)s,
               %(accepted_loss)s, %(missing)s, CASE WHEN %(missing)s::bigint <> 0 THEN now END
        FROM clock_timestamp() AS now
        ON CONFLICT (provider) DO UPDATE
        SET (audited_at, appended, overflowed, receipts, copies, in_flight, accepted_loss, missing, alerted_at)
          = (excluded.audited_at, excluded.appended, excluded.overflowed, excluded.receipts, excluded.copies,
             excluded.in_flight, excluded.accepted_loss, excluded.missing,
             CASE WHEN kept.missing = excluded.missing
                   AND kept.alerted_at > excluded.audited_at - make_interval(secs => %(repeat)s)
                  THEN kept.alerted_at ELSE excluded.alerted_at END)
        RETURNING missing <> 0 AND alerted_at = audited_at AS is_alert_due
        """,
        account | {"repeat": _REPEAT_SECONDS},
    )
    return bool(row.is_alert_due)


@dataclass(frozen=True, slots=True)
class Loss:
    """How many entries an epoch lost."""

    provider: str
    epoch: UUID
    entries: int


def accept(connection: Connection, loss: Loss, reason: str, operator: str) -> None:
    """Record that an operator accepts a loss; entries lost beyond it stay missing."""
    connection.execute(
        "INSERT INTO accepted_losses (provider, epoch, entries, reason, operator) VALUES (%s, %s, %s, %s, %s)",
        [loss.provider, loss.epoch, loss.entries, reason, operator],
    )


def accepted(connection: Connection, provider: str) -> dict[UUID, int]:
    """Return how many lost entries of each epoch were accepted."""
    rows = connection.execute(
        "SELECT epoch, sum(entries)::bigint AS entries FROM accepted_losses WHERE provider = %s GROUP BY epoch",
        [provider],
    )
    return {row.epoch: row.entries for row in rows}
