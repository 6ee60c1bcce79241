"""Processes one batch of claimed deliveries: open and validate each, store all in one transaction, acknowledge.

When that fails, the batch is split in halves until the deliveries that fail are alone, so that no delivery holds up
others. `workers.consumer` decides when a batch is claimed, and what happens while a server is unavailable.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded

from app import metrics
from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import Outcome, ProcessedDelivery
from app.errors import REJECTED_BY_DATABASE, DataRejectedError, InvalidDeliveryError, StoreUnavailableError
from app.processing.processor import DeliveryProcessor
from app.storage.ledger import Ledger
from app.tracing.tracer import Handled, HandledTimes, NoTracer, Tracer
from workers.observations import Observations

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where a provider's deliveries wait: its inbox, or the overflow."""

    provider: str

    def claim(self, consumer: str) -> list[ReceivedDelivery]:
        """Claim a batch that no consumer has claimed. Empty if there is none."""

    def consumers_with_claims(self) -> list[str]:
        """Return the consumers that hold claims."""

    def release(self, consumer: str) -> None:
        """Let other consumers claim what `consumer` has claimed."""

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete deliveries that the ledger holds."""


class BatchProcessor:
    """Processes batches of one provider."""

    def __init__(self, processor: DeliveryProcessor, ledger: Ledger, tracer: Tracer | None = None) -> None:
        self.processor = processor  # may be replaced between two batches
        self.ledger = ledger
        self._tracer = tracer or NoTracer()
        self.observations = Observations(ledger)

    def process(self, source: Source, batch: Sequence[ReceivedDelivery]) -> None:
        """Process a batch. A delivery that fails because of a bug in Kvitto stays in the source, and is reported.

        A delivery whose data the database rejects becomes a dead letter, if no other delivery of the batch fails in
        the same way. Several with one cause, and any other error, point to a bug.

        Raises:
            StoreUnavailableError: A server failed. What is not acknowledged stays as it is.
        """
        with metrics.CLAIM_TO_STORE.labels(source.provider).time():
            failures = self._bisect(source, batch)
        causes = Counter(cause_of(error) for _, error in failures)
        for received, error in failures:
            cause = cause_of(error)
            if isinstance(error, DataRejectedError) and causes[cause] == 1:
                self.dead_letter(source, received, InvalidDeliveryError(REJECTED_BY_DATABASE, cause))
            else:
                report_stuck(received, error)

    def dead_letter(self, source: Source, received: ReceivedDelivery, cause: InvalidDeliveryError) -> None:
        """Store a delivery as a dead letter without opening it, and acknowledge it."""
        self._store(source, [ProcessedDelivery(received, cause)], time.time_ns())

    def _bisect(self, source: Source, batch: Sequence[ReceivedDelivery]) -> list[tuple[ReceivedDelivery, Exception]]:
        """Store what can be stored. Return each delivery that fails alone, with its error."""
        began = time.time_ns()
        try:
            self._store(source, [self.processor.process(received) for received in batch], began)
        except (StoreUnavailableError, SoftTimeLimitExceeded):
            raise
        except Exception as error:  # a bug in one delivery must not stop the others
            if len(batch) == 1:
                return [(batch[0], error)]
            middle = len(batch) // 2
            return self._bisect(source, batch[:middle]) + self._bisect(source, batch[middle:])
        return []

    def _store(self, source: Source, processed: Sequence[ProcessedDelivery], began: int) -> None:
        try:
            outcomes = self.ledger.store(processed)
        except SoftTimeLimitExceeded as error:  # the server was slow, the delivery is not at fault
            raise StoreUnavailableError("postgres-slow", "the task reached its time limit") from error
        stored = time.time_ns()
        new = [delivery for delivery in processed if delivery.receipt in outcomes]
        _report(source.provider, new, outcomes, stored / 1e9)
        self.observations.add(new)
        source.acknowledge([delivery.received for delivery in processed])
        handled = (Handled(each.receipt, _name_of(outcomes.get(each.receipt)), each.traceparent) for each in processed)
        self._tracer.handled(source.provider, handled, HandledTimes(began, stored, time.time_ns()))


def _report(
    provider: str, new: Sequence[ProcessedDelivery], outcomes: Mapping[UUID, Outcome], stored_at: float
) -> None:
    """Count deliveries that are new in the ledger at a Unix time, and log those that are dead letters."""
    for name, deliveries in Counter(outcome.name for outcome in outcomes.values()).items():
        metrics.DELIVERIES_PROCESSED.labels(provider, name).inc(deliveries)
    for delivery in new:
        seconds = stored_at - delivery.received.received_at.timestamp()
        metrics.RECEIPT_TO_ROW.labels(provider).observe(max(seconds, 0))  # clocks may differ a little
        if isinstance(delivery.result, InvalidDeliveryError):
            log_dead_letter(delivery.received, delivery.result)


def _name_of(outcome: Outcome | None) -> str:
    """Return an outcome's name in a trace; `known` for a delivery that the ledger had already."""
    return outcome.name if outcome else "known"


def cause_of(error: Exception) -> str:
    """Return what failed, without any value: SQLSTATE and constraint, or the error's type."""
    return str(error) if isinstance(error, DataRejectedError) else type(error).__qualname__


def log_dead_letter(received: ReceivedDelivery, error: InvalidDeliveryError) -> None:
    """Log a delivery that became a dead letter, and the ids of the keys that opened it, or failed to."""
    delivery = received.delivery
    found = {"reason": error.reason, "detail": error.detail, "key_ids": error.key_ids}
    context = {"provider": delivery.provider, "topic": delivery.topic, "receipt": delivery.receipt}
    logger.warning("delivery_dead_lettered", extra=context | found)


def report_stuck(received: ReceivedDelivery, error: Exception) -> None:
    """Log and count a delivery that stays where it waits."""
    provider, cause = received.delivery.provider, cause_of(error)
    metrics.PROCESSING_ERRORS.labels(provider, cause).inc()
    logger.error(
        "delivery_stuck",
        extra={"provider": provider, "receipt": received.delivery.receipt, "cause": cause},
        exc_info=error,
    )
