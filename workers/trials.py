"""Tries deliveries alone that were in several batches which never ended: one of them may be what ends its workers."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

from celery.exceptions import SoftTimeLimitExceeded

from app.delivery import Received
from app.errors import KILLS_WORKERS, Rejected, Unavailable
from app.storage import solo_tries
from app.storage.ledger import Ledger
from workers import splitting
from workers.pipeline import Pipeline

_CLAIMS = 3
_TRIES = 3
# Names this worker's main process; its children inherit it. A restart ends tries through no fault of the delivery,
# so only tries that ended under one main process, which lived on, are held against it.
_WORKER = uuid4()
logger = logging.getLogger(__name__)


class Trials:
    """Takes batches in; what was claimed too often runs alone, each try noted before it starts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Tries that ended while Postgres was gone, to be removed as soon as it is back.
        self._ended: set[UUID] = set()

    def take_in(self, pipeline: Pipeline, batch: Sequence[Received], until: float) -> None:
        """Take in what is above suspicion together, then each of the others alone, while there is time."""
        for receipt in list(self._ended):
            self._end(receipt)
        suspects = [received for received in batch if received.claims > _CLAIMS]
        trusted = [received for received in batch if received.claims <= _CLAIMS]
        if trusted:
            splitting.take_in(pipeline, trusted)
        for received in suspects:
            if time.monotonic() < until:
                self._try_alone(pipeline, received)

    def _try_alone(self, pipeline: Pipeline, received: Received) -> None:
        receipt = received.delivery.receipt
        with self._ledger.connected() as connection:
            tries = solo_tries.begin(connection, receipt, _WORKER)
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
