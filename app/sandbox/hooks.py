"""Hooks: where a provider sends one kind of event, and by which rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# What a provider does after an answer.
NextStep = Literal["delivered", "try again", "give up", "cancelled"]


@dataclass(frozen=True, slots=True)
class Event:
    """An event at a provider; `id` is the provider's own and the same in all attempts."""

    id: str
    event_type: str
    entity_id: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One delivery attempt as it goes over the wire.

    becomes: the outcomes that the ledger may record for it; empty if the receiver must reject it.
    """

    headers: Mapping[str, str]
    content: bytes
    becomes: tuple[str, ...] = ("stored", "duplicate")


class Hook(Protocol):
    """Where a provider sends one kind of event, and its rules of delivery. Equal hooks are the same hook."""

    @property
    def url(self) -> str:
        """The receiver's full URL."""

    @property
    def provider(self) -> str:
        """The name of the sender."""

    @property
    def topic(self) -> str:
        """The topic, as the receiver's ledger names it."""

    @property
    def timeout_seconds(self) -> float:
        """How long an attempt may take, from its start to the end of the answer."""

    @property
    def waits(self) -> Sequence[float]:
        """Seconds at real speed after each failed attempt; there is one attempt more than there are waits."""

    def request(self, event: Event, attempt: int, fault: str | None) -> OutgoingRequest:
        """Build the request of one attempt; `attempt` counts from 1, `fault` is a fault's name."""

    def next_step(self, status: int) -> NextStep:
        """Return what the provider does after an answer with this status; 0 means no answer."""

    def corrected(self, event: Event) -> Event:
        """Return another event on the same entity, with a changed value."""
