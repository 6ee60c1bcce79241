"""Canaries in Postgres: the newest of each provider."""

from collections.abc import Sequence
from datetime import datetime

from app.domain.delivery import ReceivedDelivery
from app.storage.connection import Connection
from app.storage.overflow import Overflow


def record(connection: Connection, provider: str, sent_at: datetime) -> None:
    """Record a canary; one that is older than the recorded one changes nothing.

    A time in the future, by this server's clock, counts as now: a sender whose clock is ahead cannot make canaries
    look younger than they are, and cannot hide those sent after its clock was corrected.
    """
    connection.execute(
        """
        INSERT INTO canaries (provider, sent_at) VALUES (%s, least(%s, clock_timestamp()))
        ON CONFLICT (provider) DO UPDATE SET sent_at = excluded.sent_at, stored_at = excluded.stored_at
        WHERE canaries.sent_at < excluded.sent_at OR canaries.sent_at > clock_timestamp()  -- this clock was set back
        """,
        [provider, sent_at],
    )


class CanaryOverflow(Overflow):
    """Canaries in the overflow: they are in no account, so their rows are deleted."""

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete canaries that were recorded."""
        with self._connected() as connection:
            connection.execute("SELECT forget_canaries(%s)", [[received.delivery.receipt for received in batch]])
