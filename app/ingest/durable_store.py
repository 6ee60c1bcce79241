"""Stores a delivery durably until a worker processes it: in the inbox (Redis), or in the overflow (Postgres)."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from app import metrics
from app.domain.delivery import Delivery, StreamId
from app.errors import StoreUnavailableError
from app.inbox.results import AppendResult
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
T = TypeVar("T")
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
        self.provider = inbox.provider
        self._inbox = inbox
        self._appends = GroupCommit(self._append, lambda delivery: len(delivery.sealed))
        self._pool = pool
        self._breakers = breakers
        self._reporter = reporter
        self._clock = reporter.clock
        self._publish_wakeup = publish_wakeup
        self._published_at = -_WAKEUP_INTERVAL_SECONDS

    async def store(self, delivery: Delivery) -> None:
        """Store a delivery durably, and wake a worker.

        Raises:
            StoreUnavailableError: No store confirmed it. A store may hold it nevertheless, under the same receipt.
        """
        errors: list[StoreUnavailableError] = []
        reason = self._reason_for_overflow(delivery)
        for breaker in reversed(self._breakers.durable) if reason else self._breakers.durable:
            try:
                if breaker is self._breakers.redis:
                    result = await self._appends.commit(delivery)
                    if result.publish_wakeup:  # in a thread, so that no answer waits for it
                        asyncio.get_running_loop().run_in_executor(None, self._publish_wakeup)
                else:
                    await asyncio.to_thread(self._overflow, delivery, reason or errors[0].reason)
            except StoreUnavailableError as error:
                errors.append(error)
            else:
                return
        raise StoreUnavailableError(errors[0].reason, "; ".join(map(str, errors)))

    def _reason_for_overflow(self, delivery: Delivery) -> str:
        """Return why to try Postgres first; empty if Redis comes first."""
        if not self._breakers.keeps_in_redis:
            return "configured"
        if len(delivery.sealed) > _LARGE_BYTES:
            return "large-body"
        return "" if self._breakers.redis.has_room else "redis-slow-or-full"

    def _append(self, deliveries: Sequence[Delivery]) -> Sequence[AppendResult]:
        """Append all deliveries to the inbox or none."""
        results = self._write(self._breakers.redis, lambda: self._inbox.append_all(deliveries), deliveries)
        self._reporter.observe(self._inbox.provider, results[-1].mark)
        return results

    def _overflow(self, delivery: Delivery, reason: str) -> None:
        # Not before the newest entry of the inbox: the order of receipt must hold across stores.
        not_before = StreamId(self._clock.time_ms(delivery.provider), 0).received_at
        write = partial(overflow.append, delivery=delivery, not_before=not_before)
        received_at = self._write(
            self._breakers.postgres, lambda: self._pool.run(write, len(delivery.sealed)), [delivery]
        )
        self._clock.observe(delivery.provider, round(received_at.timestamp() * 1000))
        metrics.OVERFLOW_DELIVERIES.labels(delivery.provider, reason).inc()
        if self._wakeup_is_due():
            self._publish_wakeup()

    @staticmethod
    def _write(breaker: CircuitBreaker, write: Callable[[], T], deliveries: Sequence[Delivery]) -> T:
        """Try one store. A failure opens its circuit, except for large bodies: they are slow on a healthy store too."""
        breaker.check()
        try:
            return write()
        except StoreUnavailableError as error:
            if any(len(delivery.sealed) <= _LARGE_BYTES for delivery in deliveries):
                breaker.open(error)
            raise
        except Exception as error:  # a bug in the code of one store must not keep deliveries from the other
            receipts = [delivery.receipt for delivery in deliveries]
            logger.exception("unhandled_exception", extra={"provider": deliveries[0].provider, "receipts": receipts})
            raise StoreUnavailableError("internal", type(error).__name__) from error

    def _wakeup_is_due(self) -> bool:
        with suppress(StoreUnavailableError):
            self._breakers.redis.check()
            return self._inbox.mark_wakeup_pending()
        last, self._published_at = self._published_at, time.monotonic()
        return self._published_at - last >= _WAKEUP_INTERVAL_SECONDS
