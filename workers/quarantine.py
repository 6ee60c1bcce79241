"""Runs deliveries alone that may crash workers.

A delivery that was claimed several times without being acknowledged was in several batches that never ended. It may
be what ends them. Such deliveries run one by one, and each attempt is recorded in Postgres before it starts: a
worker that crashes leaves the record behind.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded

from app.domain.delivery import ReceivedDelivery
from app.errors import WORKER_CRASH, InvalidDeliveryError, StoreUnavailableError
from app.storage import dead_letters
from workers.batch import BatchProcessor, Source, report_stuck

# A delivery that was claimed more often than this runs alone.
_TRUSTED_CLAIMS = 3
# A delivery that crashed this many workers alone becomes a dead letter.
_ATTEMPTS = 3


class Quarantine:
    """Sets deliveries aside that were claimed too often, and runs them alone.

    An attempt counts only if the worker's parent process, `worker`, survived it: a restart of the worker never
    produces dead letters.
    """

    def __init__(self, processor: BatchProcessor, worker: UUID) -> None:
        self._processor = processor
        self._ledger = processor.ledger
        self._worker = worker
        self._quarantined: list[tuple[Source, ReceivedDelivery]] = []
        # Attempts that ended while Postgres was unavailable. Their records are removed when it is back.
        self._ended: set[UUID] = set()
        # How often Postgres failed on this delivery alone, while it answered others.
        self._failures: Counter[UUID] = Counter()

    def begin(self) -> None:
        """Forget what an earlier drain set aside. These deliveries are claimed still, or will be again."""
        self._quarantined.clear()
        for receipt in list(self._ended):
            self._remove_record(receipt)

    def process(self, source: Source, batch: Sequence[ReceivedDelivery]) -> None:
        """Process the deliveries that were claimed at most _TRUSTED_CLAIMS times, and set the others aside."""
        trusted = [received for received in batch if received.delivery_count <= _TRUSTED_CLAIMS]
        self._quarantined += [(source, received) for received in batch if received.delivery_count > _TRUSTED_CLAIMS]
        if trusted:
            self._processor.process(source, trusted)

    def run_isolated(self, until: float) -> None:
        """Run quarantined deliveries one by one, fewest crashes first, until a monotonic time; at least one per call.

        Raises:
            StoreUnavailableError: A server fails with every delivery.
        """
        for source, received in self._fewest_crashes_first():
            try:
                self._attempt(source, received)
            except StoreUnavailableError as error:
                self._ledger.check()  # raises if the server fails without the delivery, too
                report_stuck(received, error)
                self._failures[received.delivery.receipt] += 1
            if time.monotonic() > until:
                return

    def _fewest_crashes_first(self) -> list[tuple[Source, ReceivedDelivery]]:
        if not self._quarantined:
            return []
        receipts = [received.delivery.receipt for _, received in self._quarantined]
        with self._ledger.connected() as connection:
            crashes = self._failures + Counter(dead_letters.attempt_counts(connection, receipts))
        return sorted(self._quarantined, key=lambda item: crashes[item[1].delivery.receipt])

    def _attempt(self, source: Source, received: ReceivedDelivery) -> None:
        receipt = received.delivery.receipt
        with self._ledger.connected() as connection:
            attempts = dead_letters.begin_attempt(connection, receipt, self._worker)
        try:
            if attempts > _ATTEMPTS:
                detail = f"{_ATTEMPTS} workers that processed it alone crashed"
                self._processor.dead_letter(source, received, InvalidDeliveryError(WORKER_CRASH, detail))
            else:
                self._processor.process(source, [received])
        except SoftTimeLimitExceeded:
            raise  # the record stays: the delivery made the task reach its time limit
        except BaseException:
            self._ended.add(receipt)
            with suppress(StoreUnavailableError):
                self._remove_record(receipt)
            raise
        self._ended.add(receipt)
        self._remove_record(receipt)

    def _remove_record(self, receipt: UUID) -> None:
        with self._ledger.connected() as connection:
            dead_letters.forget_attempts(connection, receipt)
        self._ended.discard(receipt)
