"""Consumes one provider's canaries, after its deliveries and never at their cost."""

import logging
from collections.abc import Sequence
from datetime import datetime

from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.domain.canary import Canary
from app.domain.delivery import ReceivedDelivery
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage.ledger import Ledger
from app.storage.overflow import CanaryOverflow
from workers.batch import Source

# All slots share one name: consuming a canary twice changes nothing, so none has to be claimed from a dead consumer.
_CONSUMER = "any"
logger = logging.getLogger(__name__)


class CanaryConsumer:
    """Consumes canaries from an inbox and an overflow of their own, into the provider's ledger."""

    def __init__(self, inbox: Inbox, ledger: Ledger, keys: SealingKeys, provider: str) -> None:
        self.inbox = inbox
        self.overflow = CanaryOverflow(ledger.connected, canary.inbox_name(provider))
        self._ledger = ledger
        self.keys = keys  # may be replaced between two batches
        self._provider = provider

    def consume(self) -> None:
        """Consume a batch from each store. An error is logged, and the next drain tries again."""
        try:
            self._consume(self.overflow, self.overflow.claim(_CONSUMER))
            self.inbox.clear_wakeup()
            self._consume(self.inbox, self.inbox.pending(_CONSUMER) + self.inbox.claim(_CONSUMER))
        except StoreUnavailableError as error:
            logger.info("canaries_skipped", extra={"provider": self._provider, "reason": error.reason})
        except Exception:
            logger.exception("canaries_failed", extra={"provider": self._provider})

    def _consume(self, source: Source, batch: Sequence[ReceivedDelivery]) -> None:
        if not batch:
            return
        try:
            times = [sent_at for received in batch if (sent_at := self._sent_at(received))]
            if times:
                self._ledger.record_canary(max(times))
            source.acknowledge(batch)
        except Exception:
            source.release(_CONSUMER)
            raise

    def _sent_at(self, received: ReceivedDelivery) -> datetime | None:
        """Return when a canary was sent; None, and a log entry, for one that is broken or another provider's."""
        try:
            parsed = Canary.parse(self.keys.unseal(received.delivery.receipt, received.delivery.sealed))
            if parsed.provider == self._provider:
                return parsed.sent_at
            cause = "another provider's"
        except Exception as error:  # it is signed with our own secret: a broken one must not stay
            cause = type(error).__name__
        logger.error("broken_canary_dropped", extra={"provider": self._provider, "cause": cause})
        return None
