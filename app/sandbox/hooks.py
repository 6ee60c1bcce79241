"""Hooks: where a provider sends one kind of event, and by which rules."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

# How a delivery ends: "lost" with its timer, "dropped" with its subscription.
FinalStatus = Literal["delivered", "given up", "cancelled", "lost", "dropped"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event at a provider; `id` is the provider's own and the same in all attempts."""

    id: str
    event_type: str
    entity_id: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One attempt as it goes over the wire, and the outcomes it may have in the ledger; none: it must be rejected."""

    headers: Mapping[str, str]
    content: bytes
    becomes: tuple[str, ...] = ("stored", "duplicate")


@dataclass(frozen=True, slots=True)
class Hook(ABC):
    """Where a provider sends one kind of event, and its rules of delivery. Equal hooks are the same hook.

    url: the receiver's full URL. topic: as the receiver's ledger names it.
    waits: seconds at real speed after each failed attempt; there is one attempt more than there are waits.
    timeout_seconds: how long an attempt may take, from its start to the end of the answer.
    """

    provider: ClassVar[str]
    url: str
    topic: str
    waits: Sequence[float] = field(kw_only=True)
    timeout_seconds: float = field(kw_only=True)

    @abstractmethod
    def request(self, event: Event, attempt: int, fault: str | None) -> OutgoingRequest:
        """Build the request of one attempt; `attempt` counts from 1, `fault` is a fault's name."""

    @abstractmethod
    def final_status(self, status: int) -> FinalStatus | None:
        """Return how an answer with this status, 0 for none, ends the delivery; None if the provider tries again."""

    @abstractmethod
    def corrected(self, event: Event) -> Event:
        """Return another event on the same entity, with a changed value."""
