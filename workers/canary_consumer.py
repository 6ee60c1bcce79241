"""Takes in one provider's canaries, after its deliveries and never at their cost."""

import logging
from collections.abc import Sequence
from datetime import datetime

from app.canary import message as canary
from app.canary.message import Canary
from app.crypto.sealing import SealingKeys
from app.domain.delivery import ReceivedDelivery
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage.canaries import CanaryOverflow
from app.storage.ledger import Ledger
from workers.batch import Source

# All slots are one consumer here: to take a canary in twice changes nothing, so none has to be taken over.
_CONSUMER = "any"
logger = logging.getLogger(__name__)


class CanaryConsumer:
    """A provider's canaries: an inbox and an overflow of their own, the same worker and the same ledger."""

    def __init__(self, inbox: Inbox, ledger: Ledger, seals: SealingKeys, provider: str) -> None:
        self._inbox = inbox
        self._overflow = CanaryOverflow(ledger.connected, canary.inbox_name(provider))
        self._ledger = ledger
        self._seals = seals
        self._provider = provider

    def consume(self) -> None:
        """Take in a batch of each store; whatever fails is told, and tried again at the next drain."""
        try:
            self._consume(self._overflow, self._overflow.claim(_CONSUMER))
            self._inbox.clear_wakeup()
            self._consume(self._inbox, self._inbox.pending(_CONSUMER) + self._inbox.claim(_CONSUMER))
        except StoreUnavailableError as error:
            logger.info("canaries wait", extra={"provider": self._provider, "reason": error.reason})
        except Exception:
            logger.exception("canaries failed", extra={"provider": self._provider})

    def waiting_in_overflow(self) -> int:
        """Return how many wait in the overflow."""
        return self._overflow.waiting().entries

    def waiting_in_inbox(self) -> int:
        """Return how many wait in the inbox."""
        return self._inbox.backlog().entries

    def _consume(self, source: Source, batch: Sequence[ReceivedDelivery]) -> None:
        if not batch:
            return
        try:
            found = [sent_at for received in batch if (sent_at := self._sent_at(received))]
            if found:
                self._ledger.record_canary(max(found))
            source.acknowledge(batch)
        except Exception:
            source.release(_CONSUMER)
            raise

    def _sent_at(self, received: ReceivedDelivery) -> datetime | None:
        """Return when a canary was sent; None for one that is broken or another provider's."""
        try:
            found = Canary.parse(self._seals.unseal(received.delivery.receipt, received.delivery.sealed))
            if found.provider == self._provider:
                return found.sent_at
            cause = "another provider's"
        except Exception as error:  # it is signed with our own secret, and whatever it holds must not stay
            cause = type(error).__name__
        logger.error("broken canary dropped", extra={"provider": self._provider, "cause": cause})
        return None
