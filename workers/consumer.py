"""Empties one provider's inbox and overflow: claims batches until both are empty, or a time limit is reached.

While a server is unavailable nothing is claimed, and the next sweep tries again.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.crypto.sealing import SealingKeys
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.storage.overflow import Overflow
from config.celery import BATCH_ENTRIES, DRAIN_LIMIT_SECONDS, FEW_ENTRIES, GATHER_SECONDS
from workers.batch import BatchProcessor, Source
from workers.canary_consumer import CanaryConsumer
from workers.consumer_slots import ConsumerSlot
from workers.progress import Progress
from workers.quarantine import Quarantine

logger = logging.getLogger(__name__)


class InboxConsumer:
    """A consumer of one provider, under the name of its slot."""

    def __init__(
        self,
        inbox: Inbox,
        processor: BatchProcessor,
        slot: ConsumerSlot,
        publish_wakeup: Callable[[], None],
        canaries: CanaryConsumer,
    ) -> None:
        self.inbox = inbox
        self.ledger = processor.ledger
        self.overflow = Overflow(self.ledger.connected, inbox.provider)
        self._quarantine = Quarantine(processor, slot.worker)
        self._batches = processor
        self._observations = processor.observations
        self._slot = slot
        self._name = slot.name
        self._publish_wakeup = publish_wakeup
        self._is_interrupted = False  # a drain of the overflow began, and did not end: for want of a server, or of time
        self.canaries = canaries
        self._progress = Progress(inbox, self.overflow, self.ledger)

    def use(self, processor: DeliveryProcessor, keys: SealingKeys) -> None:
        """Open deliveries and canaries with other keys, from the next batch on."""
        self._batches.processor, self.canaries.keys = processor, keys

    def start(self) -> None:
        """Release what an earlier process with this slot had claimed."""
        for source in (self.overflow, self.inbox):
            with self._unless_unavailable(source):
                source.release(self._name)

    def drain(self) -> None:
        """Empty overflow and inbox for DRAIN_LIMIT_SECONDS at most, and publish a wake-up for what is left.

        Without Postgres nothing could be stored, so nothing is claimed. Without Redis the overflow is drained still.
        The overflow gets half of the time at most, so that it never keeps the inbox waiting.
        """
        until = time.monotonic() + DRAIN_LIMIT_SECONDS
        half = until - DRAIN_LIMIT_SECONDS / 2
        with self._unless_unavailable(self.inbox):
            self.inbox.clear_wakeup()  # before the inbox is read, so that a later append publishes a wake-up
        with self._unless_unavailable(self.overflow):
            if self._is_interrupted:
                self.overflow.resume()  # what the last drain claimed; that of the inbox is pending
            self._is_interrupted = True
            self._quarantine.begin()
            emptied = self._process_new(self.overflow, half)
            with self._unless_unavailable(self.inbox):
                self._process_pending(half)
                emptied &= self._process_new(self.inbox, until)
            if not emptied:
                self._publish_wakeup()
            self._quarantine.run_isolated(until + DRAIN_LIMIT_SECONDS / 2)
            self._is_interrupted = False
        self._observations.record()
        self.canaries.consume()

    def sweep(self) -> None:
        """Claim what dead consumers left, drain, and record how complete the ledger is."""
        for source in (self.overflow, self.inbox):
            with self._unless_unavailable(source):
                # Slots of this host that no process holds. Those of other hosts become idle, and are claimed then.
                for name in filter(self._slot.is_dead, source.consumers_with_claims()):
                    source.release(name)
        with self._unless_unavailable(self.inbox):
            self.inbox.claim_abandoned(self._name)
            if skipped := self.inbox.recover_skipped():
                logger.error("skipped_entries_recovered", extra={"provider": self.inbox.provider, "entries": skipped})
        self.drain()
        with self._unless_unavailable(self.inbox):
            self._progress.record()

    def _process_pending(self, until: float) -> None:
        """Process what this consumer has claimed already. What stays pending is tried once per drain."""
        batch = self.inbox.pending(self._name)
        while batch and time.monotonic() < until:
            self._quarantine.process(self.inbox, batch)
            batch = self.inbox.pending(self._name, after=batch[-1].stream_id)

    def _process_new(self, source: Source, until: float) -> bool:
        """Claim and process batches until a monotonic time. Return whether the source was emptied."""
        while time.monotonic() < until:
            batch = source.claim(self._name)
            if not batch:
                return True
            self._quarantine.process(source, batch)
            if FEW_ENTRIES < len(batch) < BATCH_ENTRIES:
                time.sleep(GATHER_SECONDS)  # see config.celery: fewer and larger commits
        return False

    @contextmanager
    def _unless_unavailable(self, source: Source) -> Iterator[None]:
        """Skip the rest of a block when a server fails. Nothing is lost: the next sweep tries again."""
        try:
            yield
        except StoreUnavailableError as error:
            context = {"provider": source.provider, "reason": error.reason, "detail": error.detail}
            logger.warning("store_unavailable_skipped", extra=context)
            try:
                source.release(self._name)
            except StoreUnavailableError:  # this consumer's next drain has it, others after ABANDONED_SECONDS
                logger.warning("claims_not_released", extra={"provider": source.provider})
