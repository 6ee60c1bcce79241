"""Stores a delivery durably until a worker processes it: in the inbox (Redis), or in the overflow (Postgres)."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from app import metrics
from app.domain.delivery import Delivery, StreamId
from app.errors import DataRejectedError, StoreUnavailableError
from app.inbox.stream import Inbox
from app.ingest.circuit_breaker import CircuitBreaker, CircuitBreakers
from app.ingest.group_commit import GroupCommit
from app.ingest.high_water_reporter import HighWaterReporter
from app.storage import overflow
from app.storage.pool import Pool

# Larger bodies go to Postgres first: a few of them must not fill Redis.
_LARGE_BYTES = 256 * 1024
# Without Redis nothing records that a wake-up is pending, so at most one is sent per second.
_WAKEUP_INTERVAL_SECONDS = 1.0
logger = logging.getLogger(__name__)


class DurableStore:
    """The two stores of one provider, each behind a circuit breaker. The first that confirms a delivery keeps it.

    If Redis cannot promise to keep deliveries, all of them go to Postgres, and Redis only wakes workers.
    """

    def __init__(
        self,
        inbox: Inbox,
        pool: Pool,
        breakers: CircuitBreakers,
        reporter: HighWaterReporter,
        publish_wakeup: Callable[[], None],
    ) -> None:
        """Store in `inbox` or by `pool`, behind their circuit breakers."""
        self._inbox = inbox
        self._appends = GroupCommit(inbox.append_all, lambda delivery: len(delivery.sealed))
        self._pool = pool
        self._breakers = breakers
        self._reporter = reporter
        self._clock = reporter.clock
        self._publish_wakeup = publish_wakeup
        self._published_at = -_WAKEUP_INTERVAL_SECONDS

    def store(self, delivery: Delivery) -> None:
        """Store a delivery durably, and wake a worker.

        Raises:
            StoreUnavailableError: No store confirmed it. A store may hold it nevertheless, under the same receipt.
        """
        errors: list[StoreUnavailableError] = []
        reason = self._reason_for_overflow(delivery)
        writes = {
            self._breakers.redis: lambda: self._append(delivery),
            self._breakers.postgres: lambda: self._overflow(delivery, reason or errors[0].reason),
        }
        for breaker in reversed(self._breakers.durable) if reason else self._breakers.durable:
            try:
                breaker.check()
                return self._write(breaker, writes[breaker], delivery)
            except StoreUnavailableError as error:
                errors.append(error)
        raise StoreUnavailableError(errors[0].reason, "; ".join(map(str, errors)))

    def _reason_for_overflow(self, delivery: Delivery) -> str:
        """Return why to try Postgres first; empty if Redis comes first."""
        if not self._breakers.keeps_in_redis:
            return "configured"
        if len(delivery.sealed) > _LARGE_BYTES:
            return "large-body"
        return "" if self._breakers.redis.has_room else "redis-slow-or-full"

    @staticmethod
    def _write(breaker: CircuitBreaker, write: Callable[[], None], delivery: Delivery) -> None:
        """Try one store. A failure opens its circuit, but not for a large body: it may time out on a healthy store."""
        try:
            write()
        except StoreUnavailableError as error:
            if len(delivery.sealed) <= _LARGE_BYTES:
                breaker.open(error)
            raise
        except Exception as error:  # a bug in the code of one store must not keep deliveries from the other
            logger.exception("unhandled_exception", extra={"provider": delivery.provider})
            raise StoreUnavailableError("internal", type(error).__name__) from error

    def _append(self, delivery: Delivery) -> None:
        result = self._appends.commit(delivery)
        self._reporter.observe(delivery.provider, result.mark)
        if result.publish_wakeup:
            self._publish_wakeup()

    def _overflow(self, delivery: Delivery, reason: str) -> None:
        try:
            # Not before the newest entry of the inbox: the order of receipt must hold across stores.
            not_before = StreamId(self._clock.time_ms(delivery.provider), 0).received_at
            write = partial(overflow.append, delivery=delivery, not_before=not_before)
            received_at = self._pool.run(write, len(delivery.sealed))
        except DataRejectedError as error:  # a bug: nothing in a delivery can violate the table's rules
            raise StoreUnavailableError("overflow-refuses", error.reason) from error
        self._clock.observe(delivery.provider, round(received_at.timestamp() * 1000))
        metrics.OVERFLOW_DELIVERIES.labels(delivery.provider, reason).inc()
        if self._wakeup_is_due():
            self._publish_wakeup()

    def _wakeup_is_due(self) -> bool:
        with suppress(StoreUnavailableError):
            self._breakers.redis.check()
            return self._inbox.mark_wakeup_pending()
        last, self._published_at = self._published_at, time.monotonic()
        return self._published_at - last >= _WAKEUP_INTERVAL_SECONDS
