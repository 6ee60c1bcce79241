"""What became of a delivery: an event, or the reason why it is none."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.domain.delivery import ReceivedDelivery
from app.domain.event import Entity, Event
from app.domain.revisions import EventReceipt, RevisionDecision
from app.errors import InvalidDeliveryError


@dataclass(frozen=True, slots=True)
class ProcessedDelivery:
    """A delivery received and the result of opening and validating it."""

    received: ReceivedDelivery
    result: Event | InvalidDeliveryError

    @property
    def receipt(self) -> UUID:
        """The delivery's receipt id."""
        return self.received.delivery.receipt

    @property
    def event(self) -> Event:
        """The event; asked for of valid deliveries only."""
        assert isinstance(self.result, Event)  # noqa: S101
        return self.result

    @property
    def event_receipt(self) -> EventReceipt:
        """The event as its entity's history sees it."""
        return EventReceipt(self.receipt, self.received.received_at, self.event.digests, self.event.provider_event_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A receipt's outcome as the ledger keeps it; of a valid one, what it is about and which revision it makes."""

    name: Literal["stored", "duplicate", "dead"]
    reason: str | None = None
    detail: str | None = None
    entity: Entity | None = None
    revision: int | None = None

    @classmethod
    def of(cls, result: Event | InvalidDeliveryError, verdict: RevisionDecision | None) -> "Outcome":
        """Return the outcome of a dead letter, or of a valid delivery under its verdict."""
        if isinstance(result, InvalidDeliveryError):
            return cls("dead", result.reason, result.detail)
        assert verdict is not None  # noqa: S101 - every valid delivery was folded
        name: Literal["stored", "duplicate"] = "duplicate" if verdict.revision is None else "stored"
        return cls(name, verdict.reason, entity=result.entity, revision=verdict.revision)
