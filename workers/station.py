"""One worker slot at one provider's inbox: how it empties it, and what it does when a server fails."""

import logging
import time
from collections.abc import Callable

from app.errors import Unavailable
from app.inbox import Inbox
from app.storage.ledger import Ledger
from app.storage.looks import Look
from config.celery import DRAIN_SECONDS, FEW, GATHER_SECONDS
from workers.pipeline import Pipeline
from workers.splitting import take_in

logger = logging.getLogger(__name__)


class Station:
    """Drains one inbox under a consumer name of its own."""

    def __init__(
        self, inbox: Inbox, ledger: Ledger, pipeline: Pipeline, consumer: str, ring: Callable[[], None]
    ) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._pipeline = pipeline
        self._consumer = consumer
        self._ring = ring

    def start(self) -> None:
        """Leave what a predecessor of this slot had claimed to whoever sweeps first."""
        self._inbox.release(self._consumer)

    def drain(self) -> None:
        """Empty the inbox for a bounded time; ring again for what is left."""
        try:
            self._inbox.clear_doorbell()
            if not self._empty():
                self._ring()
        except Unavailable as error:
            self._stand_back(error)

    def sweep(self) -> None:
        """Take over what dead workers left, empty the inbox, and note how complete the ledger is."""
        try:
            self._inbox.take_over(self._consumer)
            self.drain()
            backlog = self._inbox.backlog()
            self._ledger.look(Look(backlog.entries, backlog.complete_until))
        except Unavailable as error:
            self._stand_back(error)

    def _empty(self) -> bool:
        """Take in this slot's own pending entries, then new ones; tell whether new ones were left.

        What stays pending by a fault of ours is tried once, and for half of the time at most: it must
        not keep new ones waiting.
        """
        now = time.monotonic()
        batch = self._inbox.pending(self._consumer)
        while batch and time.monotonic() < now + DRAIN_SECONDS / 2:
            take_in(self._pipeline, batch)
            batch = self._inbox.pending(self._consumer, after=batch[-1].position)
        while time.monotonic() < now + DRAIN_SECONDS:
            batch = self._inbox.claim(self._consumer)
            if not batch:
                return True
            take_in(self._pipeline, batch)
            if len(batch) > FEW:
                time.sleep(GATHER_SECONDS)
        return False

    def _stand_back(self, error: Unavailable) -> None:
        """Nothing is decided, nothing is lost: the next sweep tries again, whichever slot it falls to."""
        logger.warning(
            "stood back",
            extra={"provider": self._inbox.provider, "reason": error.reason, "detail": error.detail},
        )
        try:
            self._inbox.release(self._consumer)
        except Unavailable:
            logger.warning("not released; taken over when idle", extra={"provider": self._inbox.provider})
