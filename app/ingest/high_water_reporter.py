"""What one edge saw Redis count, reported to Postgres: the counter itself would be lost with its server."""

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


class HighWaterReporter:
    """Keeps the highest count per provider and epoch, and reports it from a thread of its own: no answer waits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._edge = uuid7()
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, UUID], HighWaterMark] = {}
        self._reported: dict[tuple[str, UUID], HighWaterMark] = {}

    def start(self) -> None:
        """Report every second from now on, and once more when the process ends."""
        threading.Thread(target=self._run, name="tally").start()

    def observe(self, provider: str, appended: AppendResult) -> None:
        """Keep the count that came with a confirmed entry, if it is the highest yet."""
        life = provider, appended.epoch
        with self._lock:
            before = self._totals.get(life)
            if before is None or before.appended < appended.count:
                self._totals[life] = HighWaterMark(appended.count, appended.stream_id)

    def report(self) -> None:
        """Report what changed since it was last reported; what Postgres cannot take now is reported later."""
        with self._lock:
            changed = {life: total for life, total in self._totals.items() if self._reported.get(life) != total}
        if not changed:
            return
        try:
            self._pool.run(partial(high_water_marks.record, source=str(self._edge), marks=changed))
        except StoreUnavailableError:
            return  # the watch of Postgres tells
        except Exception:
            logger.exception("tally not reported")
            return
        self._reported |= changed

    def _run(self) -> None:
        main = threading.main_thread()
        while main.is_alive():
            main.join(_REPORT_SECONDS)
            self.report()
