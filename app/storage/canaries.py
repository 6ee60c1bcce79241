"""Canaries in Postgres: one row a provider, of the newest that arrived."""

from collections.abc import Sequence
from datetime import datetime

from app.domain.delivery import ReceivedDelivery
from app.storage.connection import Connection
from app.storage.overflow import Overflow


def record(connection: Connection, provider: str, sent_at: datetime) -> None:
    """Keep the newest canary, in whatever order they come; an older one changes nothing.

    One from the future, by this server's clock, counts as sent now: a sender whose clock is ahead cannot make
    canaries look younger than they are, nor outlast those sent after its clock was set right.
    """
    connection.execute(
        """
        INSERT INTO canaries (provider, sent_at) VALUES (%s, least(%s, clock_timestamp()))
        ON CONFLICT (provider) DO UPDATE SET sent_at = excluded.sent_at, stored_at = excluded.stored_at
        WHERE canaries.sent_at < excluded.sent_at OR canaries.sent_at > clock_timestamp()  -- it was set back
        """,
        [provider, sent_at],
    )


class CanaryOverflow(Overflow):
    """Canaries in the overflow: nothing is accounted for, so nothing of them stays."""

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete canaries that were noted."""
        with self._connected() as connection:
            connection.execute("SELECT forget_canaries(%s)", [[received.delivery.receipt for received in batch]])
