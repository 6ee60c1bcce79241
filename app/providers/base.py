"""What a provider's folder implements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the edge imports this module, and is not to know what opening needs
    from app.domain.delivery import Payload
    from app.domain.event import Event


class Request(Protocol):
    """What the edge shows of a request; `body` is read from the socket when it is first asked for."""

    @property
    def topic(self) -> str | None:
        """The URL's segment after the provider, if there is one."""

    def header(self, name: str) -> str:
        """Return a header's value, whatever the case of its name; empty if there is none."""

    @property
    def body(self) -> bytes:
        """The raw body."""


@dataclass(frozen=True, slots=True)
class Authentic:
    """Why a request is believed: its topic, which credential matched (never its value), and what that covers."""

    topic: str
    by: str
    signed: str


class Authentication(Protocol):
    """Tells a provider's requests from anyone else's."""

    # The URL's segments below the provider; None among them stands for no segment.
    topics: frozenset[str | None]
    # Headers kept with the delivery, since its identity depends on them.
    kept_headers: tuple[str, ...]

    def authenticate(self, request: Request) -> Authentic | None:
        """Return why the request is believed, or None for a handshake, to be answered 200 and forgotten.

        Raises:
            AuthenticationError: The request is not the provider's.
        """


class Provider(Protocol):
    """Makes events of a provider's bodies."""

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> "Payload":
        """Decrypt and parse; raises InvalidDeliveryError for what can never be opened."""

    def validate(self, payload: "Payload") -> "Event":
        """Check, mask and identify; raises InvalidDeliveryError for what can never be an event."""


@dataclass(frozen=True, slots=True)
class DemoTable:
    """A view of schema `reporting` that `kvitto demo` shows under a title, with these of its columns."""

    title: str
    view: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Demo:
    """A provider's part of `kvitto demo`: options for `kvitto sandbox send NAME`, and the tables shown afterwards."""

    sandbox_options: tuple[str, ...]
    tables: tuple[DemoTable, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a provider delivers a topic. `reference` is its own id of that; `secret` signs, and is shown once."""

    topic: str
    url: str
    reference: str | None = None
    secret: str | None = field(default=None, repr=False)


class UnknownTopicError(Exception):
    """The provider has no such topic; the text says which it has."""


class TriggerUnsupportedError(Exception):
    """The provider has no call for a test delivery; the text says what else to do."""


class Subscriptions(Protocol):
    """A provider's API to say where it delivers. Its calls raise ProviderCallError."""

    # Where the API is.
    url: str
    # The topics that have a schema; what is delivered of others is kept whole, flagged no-schema.
    described: frozenset[str]
    # Whether a topic has one subscription at most, which must be removed before another is made.
    exclusive: bool
    # The setting that lists the secrets of subscriptions, `topic=secret`; None if they have none.
    secrets: str | None

    @property
    def genuine(self) -> bool:
        """Whether the API is the provider's own, which reaches nothing on this machine, and no stand-in for it."""

    def path(self, topic: str) -> str:
        """Return where below our own address the topic is delivered; raises UnknownTopicError."""

    def register(self, topic: str, url: str) -> Subscription:
        """Have the topic delivered to `url`; raises AlreadyRegisteredError if another one would have to be removed."""

    def remove(self, subscription: Subscription) -> None:
        """Have it delivered no more; raises NotRegisteredError if it is not."""

    def listed(self) -> Sequence[Subscription] | None:
        """Return what the provider knows; None if it cannot be asked."""

    def trigger(self, topic: str) -> None:
        """Have a made-up event delivered; raises TriggerUnsupportedError."""

    def close(self) -> None:
        """Close the connections."""
