"""Reports to Postgres how this edge answered: evidence on whether a provider had a reason to try again."""

import threading
from functools import partial
from uuid import UUID

from app.periodic import PeriodicTask
from app.storage import answers
from app.storage.answers import Answer
from app.storage.pool import Pool

_REPORT_SECONDS = 1.0
# Rows of one statement, which has to end within the time-out of the pool.
_MAX_ROWS = 2_000
# While Postgres is away, the oldest answers beyond this number are dropped: 10 MB.
_MAX_WAITING = 50_000


class AnswerReporter(PeriodicTask):
    """Keeps answers until they are reported.

    A crash loses those of the last second: it is unknown then how the deliveries were answered.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__("answers", _REPORT_SECONDS, also_at_end=True)
        self._pool = pool
        self._lock = threading.Lock()
        self._waiting: list[Answer] = []

    def observe(self, receipt: UUID, seconds: float, is_complete: bool) -> None:
        """Keep an answer: how long it took, and whether the sender still listened at its end."""
        with self._lock:
            self._waiting.append(Answer(receipt, round(seconds * 1000), is_complete))

    def once(self) -> None:
        """Report the answers since the last report."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            while waiting:
                self._pool.run(partial(answers.record, answers=waiting[:_MAX_ROWS]))
                del waiting[:_MAX_ROWS]
        finally:
            with self._lock:
                self._waiting = [*waiting, *self._waiting][-_MAX_WAITING:]
