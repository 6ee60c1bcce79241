"""Reports the highest append counts that this edge saw to Postgres: Redis' own counter is lost together with Redis."""

import logging
import threading
from functools import partial
from uuid import UUID

from uuid_utils.compat import uuid7

from app.errors import StoreUnavailableError
from app.inbox.stream import AppendResult
from app.storage import high_water_marks
from app.storage.high_water_marks import HighWaterMark
from app.storage.pool import Pool

_REPORT_SECONDS = 1.0
logger = logging.getLogger(__name__)


class HighWaterReporter(threading.Thread):
    """Keeps the highest count per provider and epoch. This thread reports it, so that no answer waits."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(name="high-water-reporter")
        self._pool = pool
        self._edge = uuid7()
        self._lock = threading.Lock()
        self._marks: dict[tuple[str, UUID], HighWaterMark] = {}
        self._reported: dict[tuple[str, UUID], HighWaterMark] = {}

    def run(self) -> None:
        """Report every second, and once more when the process ends."""
        main = threading.main_thread()
        while main.is_alive():
            main.join(_REPORT_SECONDS)
            self._report()

    def observe(self, provider: str, result: AppendResult) -> None:
        """Keep the count of a confirmed append if it is the highest so far."""
        key = provider, result.epoch
        with self._lock:
            mark = self._marks.get(key)
            if mark is None or mark.appended < result.count:
                self._marks[key] = HighWaterMark(result.count, result.stream_id)

    def _report(self) -> None:
        """Report the marks that changed since the last report. After a failure, the next report includes them."""
        with self._lock:
            changed = {key: mark for key, mark in self._marks.items() if self._reported.get(key) != mark}
        if not changed:
            return
        try:
            self._pool.run(partial(high_water_marks.record, source=str(self._edge), marks=changed))
        except StoreUnavailableError:
            return  # Postgres' circuit breaker logs it
        except Exception:
            logger.exception("high_water_report_failed")
            return
        self._reported |= changed
