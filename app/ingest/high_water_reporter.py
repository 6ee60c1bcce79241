"""Exchanges with Postgres, once a second, what keeps an edge honest: its high-water marks against the order of receipt.

Redis loses its count of entries together with its data, so the counts that this edge saw confirmed are kept in
Postgres. In return the edge learns Postgres' clock, and the newest receipts that other edges have reported.
"""

import threading
import time
from collections.abc import Collection
from functools import partial
from uuid import UUID

from app.domain.high_water_mark import HighWaterMark
from app.ingest.receipt_clock import ReceiptClock
from app.periodic import PeriodicTask
from app.storage import high_water_marks
from app.storage.pool import Pool

_REPORT_SECONDS = 1.0


class HighWaterReporter(PeriodicTask):
    """Keeps the newest mark per provider and epoch until it is reported."""

    def __init__(self, pool: Pool, audited: Collection[str], unaudited: Collection[str]) -> None:
        """Report by `pool`; `unaudited` are inboxes that no audit counts, those of canaries."""
        super().__init__("high-water marks", _REPORT_SECONDS, also_at_end=True)
        self.clock = ReceiptClock()
        self._pool = pool
        self._audited = frozenset(audited)
        self._providers = [*audited, *unaudited]
        self._lock = threading.Lock()
        self._marks: dict[tuple[str, UUID], HighWaterMark] = {}

    def start(self) -> None:
        """Learn the order of receipt before the first delivery, then start the thread."""
        self.try_once()
        super().start()

    def observe(self, provider: str, mark: HighWaterMark) -> None:
        """Keep the mark of a confirmed append if it is the newest of its epoch.

        It stands for the earlier ones: the append would have begun another epoch if the server had lost one of them.
        """
        self.clock.observe(provider, mark.last_id.ms)
        if provider not in self._audited:
            return
        key = provider, mark.epoch
        with self._lock:
            if key not in self._marks or self._marks[key].is_behind(mark):
                self._marks[key] = mark

    def once(self) -> None:
        """Report the newest marks; those that could not be reported wait for the next report."""
        with self._lock:
            marks, self._marks = self._marks, {}
        try:
            if marks:
                self._pool.run(partial(high_water_marks.record, marks=[(key[0], mark) for key, mark in marks.items()]))
            asked_at = time.monotonic()
            now, newest = self._pool.run(partial(high_water_marks.newest_receipts, providers=self._providers))
            self.clock.synchronise(now, asked_at)
            for provider, received_at in newest.items():
                self.clock.observe(provider, round(received_at.timestamp() * 1000))
        except Exception:
            for (provider, _), mark in marks.items():
                self.observe(provider, mark)
            raise
