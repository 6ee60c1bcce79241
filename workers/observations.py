"""Observes what is usual of a provider: when deliveries arrive, and what they look like.

It costs a delivery some microseconds. What was observed goes to Postgres after a drain, in a transaction of its own
that waits for no disk: an observation may be lost, and none can fail a delivery.
"""

import logging
import time
from collections.abc import Sequence

from celery.exceptions import SoftTimeLimitExceeded

from app.domain.event import Event
from app.domain.outcome import ProcessedDelivery
from app.errors import StoreUnavailableError
from app.storage import schema_drift
from app.storage.arrivals import Arrivals
from app.storage.ledger import Ledger
from app.storage.schema_drift import Finding, Sightings

# A long drain records this often.
_RECORD_SECONDS = 5.0
logger = logging.getLogger(__name__)


class Observations:
    """What one process has observed of one provider since it last recorded it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._provider = ledger.provider
        self._arrivals = Arrivals()
        self._findings: dict[Finding, Sightings] = {}
        self._recorded_at = time.monotonic()

    def add(self, new: Sequence[ProcessedDelivery]) -> None:
        """Observe the deliveries of a batch that the ledger had not stored before."""
        for delivery in new:
            received = delivery.received
            self._arrivals.add(received.delivery.topic, received.stream_id.ms)
            event = delivery.result
            if isinstance(event, Event) and event.undeclared:
                sightings = Sightings(1, received.received_at, received.received_at, delivery.receipt)
                for undeclared in event.undeclared:
                    finding = Finding(event.entity.event_type, undeclared)
                    earlier = self._findings.get(finding)
                    self._findings[finding] = earlier.and_then(sightings) if earlier else sightings
        if time.monotonic() - self._recorded_at > _RECORD_SECONDS:
            self.record()

    def record(self) -> None:
        """Record what was observed. An error is logged; a server that fails gets it the next time."""
        self._recorded_at = time.monotonic()
        if self._arrivals.is_empty:  # then nothing was found either
            return
        changes: list[Finding] = []
        try:
            with self._ledger.connected() as connection, connection.transaction():
                connection.execute("SET LOCAL synchronous_commit = off")
                self._arrivals.record(connection, self._provider)
                if self._findings:
                    changes = schema_drift.record(connection, self._provider, self._findings)
        except SoftTimeLimitExceeded:
            raise  # the task must end
        except StoreUnavailableError:
            return  # the drain that it fails logs it
        except Exception:
            logger.exception("observations_failed", extra={"provider": self._provider})
        for event_type, undeclared in changes:
            found = {"event_type": event_type, **undeclared._asdict()}
            logger.warning("schema_drift_found", extra={"provider": self._provider} | found)
        self._arrivals.clear()
        self._findings.clear()
