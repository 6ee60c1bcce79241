"""Hooks: where, and how, a provider sends one kind of event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# What a provider makes of an answer.
Verdict = Literal["delivered", "try again", "give up", "cancelled"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a provider tells a receiver; `id` is the provider's own, the same in all tries."""

    id: str
    event_type: str
    entity_id: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """One try as it goes over the wire.

    `becomes` holds the outcomes that the receiver may note for it, none if it must refuse it.
    """

    headers: Mapping[str, str]
    content: bytes
    becomes: tuple[str, ...] = ("stored", "duplicate")


class Hook(Protocol):
    """Where a provider sends one kind of event, and its rules of delivery.

    `waits` are the seconds, at real speed, after each failed try until the next: one try more than there are waits.
    Hooks are told apart by equality.
    """

    @property
    def url(self) -> str:
        """The receiver's full URL."""

    @property
    def provider(self) -> str:
        """Who sends."""

    @property
    def topic(self) -> str:
        """Which of the provider's hooks it is, as the receiver's ledger names it."""

    @property
    def timeout_seconds(self) -> float:
        """How long an answer may take, from the try's begin to its end."""

    @property
    def waits(self) -> Sequence[float]:
        """The schedule."""

    def request(self, event: Event, attempt: int, fault: str | None) -> Request:
        """Return an event's try, made anew; `attempt` counts from 1, `fault` is by its name."""

    def verdict(self, status: int) -> Verdict:
        """Judge an answer; status 0 means that none came."""

    def corrected(self, event: Event) -> Event:
        """Return another event that tells the same entity's facts with a changed value."""
