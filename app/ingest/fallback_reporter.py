"""Reports to Postgres that this edge stores deliveries there instead of in Redis, for the console and its metrics."""

import logging
import threading
import time
from collections.abc import Collection
from functools import partial

from app.errors import StoreUnavailableError
from app.ingest.circuit_breaker import CircuitBreakers
from app.storage import fallbacks
from app.storage.pool import Pool

_REPORT_SECONDS = 5.0
logger = logging.getLogger(__name__)


class FallbackReporter(threading.Thread):
    """Reports every few seconds for as long as the fallback lasts."""

    def __init__(self, pool: Pool, breakers: CircuitBreakers, providers: Collection[str]) -> None:
        super().__init__(name="fallback-reporter", daemon=True)
        self._pool = pool
        self._breakers = breakers
        self._providers = providers

    def run(self) -> None:
        """Report until the process ends."""
        while True:
            time.sleep(_REPORT_SECONDS)
            avoided = self._breakers.redis.avoided()
            if avoided is None or not self._breakers.keeps_in_redis:
                continue
            try:
                record = partial(fallbacks.record, process="ingest", providers=self._providers, reason=avoided[1])
                self._pool.run(record)
            except StoreUnavailableError:
                continue  # Postgres' circuit breaker logs it
            except Exception:
                logger.exception("fallback_report_failed")
