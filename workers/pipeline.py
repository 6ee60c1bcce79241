"""The path of a batch from the inbox to the ledger. What happens when it fails is the caller's to decide."""

from collections.abc import Sequence

from app import metrics
from app.delivery import Received
from app.errors import Rejected
from app.inbox import Inbox
from app.settling import Settler
from app.storage.ledger import Ledger
from app.storage.settlement import Settlement


class Pipeline:
    """Takes batches of one provider's deliveries in."""

    def __init__(self, settler: Settler, ledger: Ledger, inbox: Inbox) -> None:
        self._settler = settler
        self._ledger = ledger
        self._inbox = inbox

    def take_in(self, batch: Sequence[Received]) -> None:
        """Open and validate each delivery, store all in one transaction, acknowledge."""
        settlements = [self._settler.settle(received) for received in batch]
        self._ledger.store(settlements)
        self._inbox.acknowledge(batch)
        metrics.SETTLED.labels(self._inbox.provider).inc(len(batch))

    def bury(self, received: Received, cause: Rejected) -> None:
        """Store a delivery as a dead letter, whatever it holds, and acknowledge it."""
        self._ledger.store([Settlement(received, cause)])
        self._inbox.acknowledge([received])
