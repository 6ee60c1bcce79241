"""Splits a batch that fails until the culprits stand alone, so that one delivery never holds up others."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from celery.exceptions import SoftTimeLimitExceeded

from app import metrics
from app.delivery import Received
from app.errors import CANNOT_STORE, Rejected, Unavailable, Unstorable
from workers.pipeline import Pipeline

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Culprit:
    received: Received
    error: Exception

    @property
    def cause(self) -> str:
        """What failed, without any value: SQLSTATE and constraint, or the error's type."""
        return str(self.error) if isinstance(self.error, Unstorable) else type(self.error).__qualname__


def take_in(pipeline: Pipeline, batch: Sequence[Received]) -> None:
    """Take a batch in, leaving nothing behind but what fails by a fault of ours.

    A delivery that alone of all fails in some way with a data error becomes a dead letter. Several
    that fail in one same way, or any other error, are our bug: they stay in the inbox, loudly.

    Raises:
        Unavailable: A server's fault; what is not acknowledged stays as it is.
    """
    culprits = _culprits(pipeline, batch)
    causes = Counter(culprit.cause for culprit in culprits)
    for culprit in culprits:
        if isinstance(culprit.error, Unstorable) and causes[culprit.cause] == 1:
            pipeline.bury(culprit.received, Rejected(CANNOT_STORE, culprit.cause))
        else:
            alarm(culprit.received, culprit.error)


def _culprits(pipeline: Pipeline, batch: Sequence[Received]) -> list[_Culprit]:
    try:
        pipeline.take_in(batch)
    except (Unavailable, SoftTimeLimitExceeded):
        raise
    except Exception as error:  # a bug must not stop the deliveries around it
        if len(batch) == 1:
            return [_Culprit(batch[0], error)]
        middle = len(batch) // 2
        return _culprits(pipeline, batch[:middle]) + _culprits(pipeline, batch[middle:])
    return []


def alarm(received: Received, error: Exception) -> None:
    """Tell that a delivery stays where it waits, and why."""
    provider, cause = received.delivery.provider, _Culprit(received, error).cause
    metrics.STUCK.labels(provider, cause).inc()
    logger.error(
        "delivery left in the inbox by a fault of ours",
        extra={"provider": provider, "receipt": received.delivery.receipt, "cause": cause},
        exc_info=error,
    )
