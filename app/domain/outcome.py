"""The outcome of a delivery: an event, or the reason why it is a dead letter, or was discarded."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.domain.delivery import ReceivedDelivery
from app.domain.event import Entity, Event
from app.domain.revisions import RevisionDecision
from app.errors import InvalidDeliveryError

# The reason of a delivery of which the ledger keeps the receipt alone: an operator erased what it holds.
ERASED = "erased"
# The flag of an event that came after its entity, or a person in it, was erased.
AFTER_ERASURE = "after-erasure"


@dataclass(frozen=True, slots=True)
class ProcessedDelivery:
    """A received delivery and the result of opening and validating it."""

    received: ReceivedDelivery
    result: Event | InvalidDeliveryError

    @property
    def receipt(self) -> UUID:
        """The receipt id of the delivery."""
        return self.received.delivery.receipt

    @property
    def traceparent(self) -> str:
        """What names its trace; empty if it is not traced."""
        return self.received.delivery.traceparent

    @property
    def event(self) -> Event:
        """The event of a valid delivery."""
        if isinstance(self.result, Event):
            return self.result
        raise TypeError("a dead letter has no event")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a receipt in the ledger; for a valid delivery also its entity and its revision."""

    name: Literal["stored", "duplicate", "dead", "discarded"]
    reason: str | None = None
    detail: str | None = None
    entity: Entity | None = None
    revision: int | None = None

    @classmethod
    def of(cls, result: Event | InvalidDeliveryError, decision: RevisionDecision | None) -> "Outcome":
        """Return the outcome of a dead letter, or of a valid delivery under its decision."""
        if isinstance(result, InvalidDeliveryError):
            return cls("dead", result.reason, result.detail)
        if decision is None:
            raise TypeError("a valid delivery needs a revision decision")
        name: Literal["stored", "duplicate"] = "duplicate" if decision.revision is None else "stored"
        return cls(name, decision.reason, entity=result.entity, revision=decision.revision)
