"""One worker slot at one provider's inbox and overflow: how it empties them, and what it does when a server fails."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from app.errors import Unavailable
from app.inbox import Inbox
from app.storage import witnesses
from app.storage.looks import Look
from app.storage.overflow import Overflow
from config.celery import BATCH_ENTRIES, DRAIN_SECONDS, FEW, GATHER_SECONDS
from workers.canaries import Canaries
from workers.pipeline import Pipeline, Source
from workers.slots import Slot
from workers.trials import Trials

# A row of the overflow has its time before it is committed, this long at most.
_UNCOMMITTED = timedelta(seconds=2)
logger = logging.getLogger(__name__)


class Station:
    """Drains overflow and inbox under a consumer name of its own."""

    def __init__(
        self,
        inbox: Inbox,
        pipeline: Callable[[Source], Pipeline],
        slot: Slot,
        ring: Callable[[], None],
        canaries: Canaries,
    ) -> None:
        self.inbox = inbox
        self._inbox_pipeline = pipeline(self.inbox)
        self._ledger = self._inbox_pipeline.ledger
        self.overflow = Overflow(self._ledger.connected, inbox.provider)
        self._overflow_pipeline = pipeline(self.overflow)
        self._trials = Trials(self._ledger, slot.worker)
        self._slot = slot
        self._consumer = slot.name
        self._ring = ring
        self._canaries = canaries

    def start(self) -> None:
        """Leave what a predecessor of this slot had claimed to whoever sweeps first."""
        for source in (self.overflow, self.inbox):
            with self._standing_back(source):
                source.release(self._consumer)

    def drain(self) -> None:
        """Empty overflow and inbox for a bounded time; ring again for what is left.

        Without Postgres nothing could be stored, so nothing is claimed; without Redis the overflow is drained all the
        same, in half of the time at most: it must not keep the inbox waiting.
        """
        until = time.monotonic() + DRAIN_SECONDS
        with self._standing_back(self.inbox):
            self.inbox.clear_doorbell()
        with self._standing_back(self.overflow):
            self._trials.begin()
            emptied = self._take_new(self._overflow_pipeline, until - DRAIN_SECONDS / 2)
            with self._standing_back(self.inbox):
                emptied &= self._empty_inbox(until)
            if not emptied:
                self._ring()
            self._trials.conclude(until + DRAIN_SECONDS / 2)
        self._canaries.take_in()

    def sweep(self) -> None:
        """Take over what dead workers left, empty overflow and inbox, and note what was seen of them."""
        for source in (self.overflow, self.inbox):
            with self._standing_back(source):
                self._free(source)
        with self._standing_back(self.inbox):
            self.inbox.take_over(self._consumer)
        self.drain()
        with self._standing_back(self.inbox):
            self._look()

    def waits_in_overflow(self) -> bool:
        """Tell whether anything waits there, a canary included."""
        return self.overflow.waiting().entries + self._canaries.waiting_in_overflow() > 0

    def waits_in_inbox(self) -> bool:
        """Tell whether anything waits there, a canary included."""
        return self.inbox.backlog().entries + self._canaries.waiting_in_inbox() > 0

    def _free(self, source: Source) -> None:
        """Release what slots of this host hold that no process has any more; those of other hosts fall idle."""
        for name in filter(self._slot.is_dead, source.claimants()):
            source.release(name)

    def _look(self) -> None:
        """Note how complete the ledger is; and the inbox's own counter, which would be lost with its server."""
        census = self.inbox.census()
        backlog, waiting = self.inbox.backlog(), self.overflow.waiting()
        complete_until = min(backlog.complete_until, waiting.oldest_at or backlog.complete_until) - _UNCOMMITTED
        self._ledger.look(Look(backlog.entries + waiting.entries, complete_until))
        with self._ledger.connected() as connection:
            witnesses.note_census(connection, self.inbox.provider, census.epoch, census.appended, census.last)

    def _empty_inbox(self, until: float) -> bool:
        """Take in this slot's own pending entries, then new ones; tell whether new ones were left.

        What stays pending by a fault of ours is tried once, and for half of the time at most: it must
        not keep new ones waiting.
        """
        batch = self.inbox.pending(self._consumer)
        while batch and time.monotonic() < until - DRAIN_SECONDS / 2:
            self._trials.take_in(self._inbox_pipeline, batch)
            batch = self.inbox.pending(self._consumer, after=batch[-1].position)
        return self._take_new(self._inbox_pipeline, until)

    def _take_new(self, pipeline: Pipeline, until: float) -> bool:
        while time.monotonic() < until:
            batch = pipeline.source.claim(self._consumer)
            if not batch:
                return True
            self._trials.take_in(pipeline, batch)
            if FEW < len(batch) < BATCH_ENTRIES:
                time.sleep(GATHER_SECONDS)
        return False

    @contextmanager
    def _standing_back(self, source: Source) -> Iterator[None]:
        """Let a server's failure pass: nothing is decided, nothing is lost, and the next sweep tries again."""
        try:
            yield
        except Unavailable as error:
            logger.warning(
                "stood back", extra={"provider": source.provider, "reason": error.reason, "detail": error.detail}
            )
            self._release(source)

    def _release(self, source: Source) -> None:
        try:
            source.release(self._consumer)
        except Unavailable:
            logger.warning("not released; taken over when idle", extra={"provider": source.provider})
