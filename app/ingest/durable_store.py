"""Where deliveries are kept until a worker takes them: a provider's inbox in Redis, or the overflow in Postgres."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from app import metrics
from app.domain.delivery import Delivery, StreamId
from app.errors import DataRejectedError, StoreUnavailableError
from app.inbox.stream import Inbox
from app.ingest.circuit_breaker import CircuitBreaker
from app.ingest.group_commit import GroupCommit
from app.ingest.high_water_reporter import HighWaterReporter
from app.storage import overflow
from app.storage.pool import Pool

# Larger bodies go to the overflow first: a few of them must not fill Redis.
LARGE_BYTES = 256 * 1024
# Without Redis there is no doorbell to tell who rang already.
_RING_SECONDS = 1.0
logger = logging.getLogger(__name__)


class DurableStore:
    """One provider's two stores. Each is watched; a delivery is kept by the first that proves it."""

    def __init__(
        self,
        inbox: Inbox,
        pool: Pool,
        watches: tuple[CircuitBreaker, CircuitBreaker],
        tally: HighWaterReporter,
        ring: Callable[[], None],
    ) -> None:
        """Keep in `inbox` or by `pool`, each with its watch."""
        self._inbox = inbox
        self._appends = GroupCommit(inbox.append_all, lambda delivery: len(delivery.sealed))
        self._pool = pool
        self._inbox_watch, self._pool_watch = watches
        self._tally = tally
        self._ring = ring
        self._rung_at = -_RING_SECONDS
        self._last = StreamId(0, 0)
        self._lock = threading.Lock()

    def store(self, delivery: Delivery) -> None:
        """Keep a delivery durably, and have a worker called.

        Raises:
            StoreUnavailableError: Proven by none. A store may have it all the same, under the same receipt.
        """
        roads = [(self._inbox_watch, self._append), (self._pool_watch, self._overflow)]
        if len(delivery.sealed) > LARGE_BYTES or not self._inbox_watch.has_room:
            roads.reverse()
        causes = []
        for watch, road in roads:
            try:
                watch.check()
                return self._take(watch, road, delivery)
            except StoreUnavailableError as error:
                causes.append(error)
        raise StoreUnavailableError(causes[0].reason, "; ".join(map(str, causes)))

    @staticmethod
    def _take(watch: CircuitBreaker, road: Callable[[Delivery], None], delivery: Delivery) -> None:
        """Take a road; whatever fails on it is told to its watch, but for a body that may be too large for its time."""
        try:
            road(delivery)
        except StoreUnavailableError as error:
            if len(delivery.sealed) <= LARGE_BYTES:
                watch.open(error)
            raise
        except Exception as error:  # a fault of ours on one road must not close the other
            logger.exception("unhandled_exception", extra={"provider": delivery.provider})
            raise StoreUnavailableError("internal", type(error).__name__) from error

    def _append(self, delivery: Delivery) -> None:
        appended = self._appends.commit(delivery)
        self._tally.observe(delivery.provider, appended)
        with self._lock:
            self._last = max(self._last, appended.stream_id)
        if appended.publish_wakeup:
            self._ring()

    def _overflow(self, delivery: Delivery) -> None:
        try:
            self._pool.run(partial(overflow.append, delivery=delivery, not_before=self._last.received_at))
        except DataRejectedError as error:  # nothing of a delivery can be refused: it is ours to mend
            raise StoreUnavailableError("overflow-refuses", error.reason) from error
        metrics.OVERFLOWED.labels(delivery.provider).inc()
        if self._must_ring():
            self._ring()

    def _must_ring(self) -> bool:
        with suppress(StoreUnavailableError):
            self._inbox_watch.check()
            return self._inbox.mark_wakeup_pending()
        last, self._rung_at = self._rung_at, time.monotonic()
        return self._rung_at - last >= _RING_SECONDS
