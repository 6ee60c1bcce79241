"""Tries deliveries alone that were in several batches which never ended: one of them may be what ends its workers."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded

from app.delivery import Received
from app.errors import KILLS_WORKERS, Rejected, Unavailable
from app.storage import solo_tries
from app.storage.ledger import Ledger
from workers import splitting
from workers.pipeline import Pipeline

_CLAIMS = 3
_TRIES = 3
logger = logging.getLogger(__name__)


class Trials:
    """Takes batches in; what was claimed too often is put aside and runs alone, each try noted before it starts.

    `worker` names the worker's main process. A restart ends tries through no fault of the delivery, so only
    tries that ended under one main process, which lived on, are held against it.
    """

    def __init__(self, ledger: Ledger, worker: UUID) -> None:
        self._ledger = ledger
        self._worker = worker
        self._suspects: list[tuple[Pipeline, Received]] = []
        # Tries that ended while Postgres was gone, to be removed as soon as it is back.
        self._ended: set[UUID] = set()
        # Tries that the server answered with a failure of its own, to this delivery and no other.
        self._failed: Counter[UUID] = Counter()

    def begin(self) -> None:
        """Forget who was put aside in an earlier drain; they are claimed still, or will be again."""
        self._suspects.clear()
        for receipt in list(self._ended):
            self._end(receipt)

    def take_in(self, pipeline: Pipeline, batch: Sequence[Received]) -> None:
        """Take in what is above suspicion, and put the others aside."""
        trusted = [received for received in batch if received.claims <= _CLAIMS]
        self._suspects += [(pipeline, received) for received in batch if received.claims > _CLAIMS]
        if trusted:
            splitting.take_in(pipeline, trusted)

    def conclude(self, until: float) -> None:
        """Try those put aside alone, one at least: who ended the fewest tries first, for the culprit is the last."""
        for pipeline, received in self._by_tries():
            try:
                self._try_alone(pipeline, received)
            except Unavailable as error:
                self._ledger.check()  # stand back if it is the server's fault
                splitting.alarm(received, error)
                self._failed[received.delivery.receipt] += 1
            if time.monotonic() > until:
                return

    def _by_tries(self) -> list[tuple[Pipeline, Received]]:
        if not self._suspects:
            return []
        with self._ledger.connected() as connection:
            counts = solo_tries.counts(connection, [received.delivery.receipt for _, received in self._suspects])

        def ended_badly(suspect: tuple[Pipeline, Received]) -> int:
            receipt = suspect[1].delivery.receipt
            return counts.get(receipt, 0) + self._failed[receipt]

        return sorted(self._suspects, key=ended_badly)

    def _try_alone(self, pipeline: Pipeline, received: Received) -> None:
        receipt = received.delivery.receipt
        with self._ledger.connected() as connection:
            tries = solo_tries.begin(connection, receipt, self._worker)
        try:
            if tries > _TRIES:
                logger.error("dead letter: it ends its workers", extra={"receipt": receipt})
                pipeline.bury(received, Rejected(KILLS_WORKERS, f"{_TRIES} workers that tried it alone ended"))
            else:
                splitting.take_in(pipeline, [received])
        except SoftTimeLimitExceeded:
            raise  # it ended the try, and counts
        except BaseException:
            self._ended.add(receipt)
            with suppress(Unavailable):
                self._end(receipt)
            raise
        self._ended.add(receipt)
        self._end(receipt)

    def _end(self, receipt: UUID) -> None:
        with self._ledger.connected() as connection:
            solo_tries.forget(connection, receipt)
        self._ended.discard(receipt)
