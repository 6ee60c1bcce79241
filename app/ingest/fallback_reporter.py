"""Reports to Postgres that this edge stores deliveries there instead of in Redis, for the console and its metrics."""

from collections.abc import Collection
from functools import partial

from app.ingest.circuit_breaker import CircuitBreakers
from app.periodic import PeriodicTask
from app.storage import fallbacks
from app.storage.pool import Pool

_REPORT_SECONDS = 5.0


class FallbackReporter(PeriodicTask):
    """Reports for as long as the fallback lasts."""

    def __init__(self, pool: Pool, breakers: CircuitBreakers, providers: Collection[str]) -> None:
        super().__init__("fallbacks", _REPORT_SECONDS, also_at_end=True)
        self._pool = pool
        self._breakers = breakers
        self._providers = providers

    def once(self) -> None:
        """Report whether Redis is avoided, and since when."""
        avoided = self._breakers.redis.avoided()
        if avoided is not None and self._breakers.keeps_in_redis:
            record = partial(fallbacks.record, process="ingest", providers=self._providers, reason=avoided[1])
            self._pool.run(record)
