"""The path of a batch from the inbox to the ledger. What happens when it fails is the caller's to decide."""

from collections.abc import Sequence
from typing import Protocol

from celery.exceptions import SoftTimeLimitExceeded

from app import metrics
from app.delivery import Received
from app.errors import Rejected, Unavailable
from app.settling import Settler
from app.storage.ledger import Ledger
from app.storage.settlement import Settlement


class Source(Protocol):
    """Where a provider's deliveries wait: its inbox, or the overflow."""

    provider: str

    def claim(self, consumer: str) -> list[Received]:
        """Claim a batch that nobody has; empty if there is none."""

    def claimants(self) -> list[str]:
        """Return who holds claims."""

    def release(self, consumer: str) -> None:
        """Leave what `consumer` has claimed to whoever comes first."""

    def acknowledge(self, batch: Sequence[Received]) -> None:
        """Let go of deliveries that are in the ledger."""


class Pipeline:
    """Takes batches of one provider's deliveries in, from one source."""

    def __init__(self, settler: Settler, ledger: Ledger, source: Source) -> None:
        self._settler = settler
        self.ledger = ledger
        self.source = source

    def take_in(self, batch: Sequence[Received]) -> None:
        """Open and validate each delivery, store all in one transaction, acknowledge."""
        settlements = [self._settler.settle(received) for received in batch]
        self._store(settlements)
        self.source.acknowledge(batch)
        metrics.SETTLED.labels(self.source.provider).inc(len(batch))

    def _store(self, settlements: Sequence[Settlement]) -> None:
        try:
            self.ledger.store(settlements)
        except SoftTimeLimitExceeded as error:  # the server was slow, not the delivery at fault
            raise Unavailable("postgres-slow", "the task's time was up") from error

    def bury(self, received: Received, cause: Rejected) -> None:
        """Store a delivery as a dead letter, whatever it holds, and acknowledge it."""
        self.ledger.store([Settlement(received, cause)])
        self.source.acknowledge([received])
