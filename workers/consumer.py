"""Empties one provider's inbox and overflow: the loop that claims batches, its time limit and its back-off."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from app.domain import clocks
from app.domain.high_water_mark import HighWaterMark
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import high_water_marks, reports
from app.storage.overflow import Overflow
from config.celery import BATCH_ENTRIES, DRAIN_SECONDS, FEW, GATHER_SECONDS
from workers.batch import BatchProcessor, Source
from workers.canary_consumer import CanaryConsumer
from workers.consumer_slots import ConsumerSlot
from workers.quarantine import Quarantine

# An overflow row gets its time of receipt before its transaction commits, at most this long before.
_UNCOMMITTED = timedelta(seconds=2)
# How often the log repeats that clocks differ.
_REPEAT_SECONDS = 300.0
_AUDIT = "run kvitto audit: what the server forgot may be missing"
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
        self._observations = processor.observations
        self._slot = slot
        self._name = slot.name
        self._publish_wakeup = publish_wakeup
        self.canaries = canaries
        self._silent_until = 0.0

    def start(self) -> None:
        """Release what an earlier process with this slot had claimed."""
        for source in (self.overflow, self.inbox):
            with self._unless_unavailable(source):
                source.release(self._name)

    def drain(self) -> None:
        """Empty overflow and inbox for DRAIN_SECONDS at most, and publish a wake-up for what is left.

        Without Postgres nothing could be stored, so nothing is claimed. Without Redis the overflow is drained still.
        The overflow gets half of the time at most, so that it never keeps the inbox waiting.
        """
        until = time.monotonic() + DRAIN_SECONDS
        half = until - DRAIN_SECONDS / 2
        with self._unless_unavailable(self.inbox):
            self.inbox.clear_wakeup()  # before the inbox is read, so that a later append publishes a wake-up
        with self._unless_unavailable(self.overflow):
            self._quarantine.begin()
            emptied = self._process_new(self.overflow, half)
            with self._unless_unavailable(self.inbox):
                self._process_pending(half)
                emptied &= self._process_new(self.inbox, until)
            if not emptied:
                self._publish_wakeup()
            self._quarantine.run_isolated(until + DRAIN_SECONDS / 2)
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
            self._record_progress()

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
            if FEW < len(batch) < BATCH_ENTRIES:
                time.sleep(GATHER_SECONDS)  # see config.celery: fewer and larger commits
        return False

    def _record_progress(self) -> None:
        mark = self._checked_mark()
        with self.ledger.connected() as connection:
            before = reports.clock(connection)
            backlog = self.inbox.backlog()
            after = reports.clock(connection)
        overflow = self.overflow.waiting()
        skew = clocks.skew_seconds(backlog.server_time, mark.last_id.received_at, between=(before, after))
        complete_until = min(before, backlog.oldest_at or before, overflow.oldest_at or before) - _UNCOMMITTED
        self.ledger.record_freshness(backlog.entries + overflow.entries, complete_until, skew)
        if abs(skew) > clocks.TOLERATED_SECONDS and time.monotonic() > self._silent_until:
            logger.error(
                "clocks_differ", extra={"provider": self.inbox.provider, "redis_ahead_seconds": round(skew, 1)}
            )
            self._silent_until = time.monotonic() + _REPEAT_SECONDS

    def _checked_mark(self) -> HighWaterMark:
        """Record the inbox's mark. Begin another epoch first if the inbox was set back behind a mark in the ledger."""
        provider = self.inbox.provider
        with self.ledger.connected() as connection:
            seen = high_water_marks.load(connection, provider)  # first: the inbox only grows
            mark = self.inbox.mark()
            newest = max(each.epoch for each in (mark, *seen))
            if any(map(mark.is_behind, seen)) and self.inbox.end_epoch(mark.epoch, newest):
                logger.error("inbox_set_back", extra={"provider": provider, "epoch": mark.epoch, "hint": _AUDIT})
                mark = self.inbox.mark()
            high_water_marks.record(connection, [(provider, mark)])
        return mark

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
            except StoreUnavailableError:  # other consumers claim it when it has been idle for ABANDONED_SECONDS
                logger.warning("claims_not_released", extra={"provider": source.provider})
