"""The protocols that a provider's folder implements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the edge imports this module, and must not load what opens deliveries
    from app.domain.delivery import Payload
    from app.domain.event import Event, Projection


class IncomingRequest(Protocol):
    """A request as the edge passes it on. `body` is read from the socket at its first use."""

    @property
    def topic(self) -> str | None:
        """The segment of the URL after the provider, None without one."""

    def header(self, name: str) -> str:
        """Return the value of a header, in any case of its name; empty if there is none."""

    @property
    def body(self) -> bytes:
        """The raw body."""


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """An authentic request: its topic, which credential matched (never its value), and what that covers."""

    topic: str
    credential: str
    covers: str


# Kept with every delivery: it says how the body is compressed, so that a later release can replay it.
_CONTENT_ENCODING = "Content-Encoding"


def kept_headers(authentication: "Authentication", request: IncomingRequest) -> dict[str, str]:
    """Return the headers that are stored with a delivery."""
    names = (*authentication.kept_headers, _CONTENT_ENCODING)
    return {name: value for name in names if (value := request.header(name))}


class Authentication(Protocol):
    """Accepts a provider's own requests and rejects all others.

    Optional: `sample_requests()`, which yields topic, headers and body of a request with each credential, for
    `kvitto check`; `credentials`, all that results may name, and `rejections`, the reasons of its
    AuthenticationErrors: their metrics then exist from the start.
    """

    # Segments of the URL after the provider; None stands for no segment.
    topics: frozenset[str | None]
    # For how long the provider tries a delivery again that was not answered 200.
    retried_for: timedelta
    # Headers stored with the delivery, because processing it needs them.
    kept_headers: tuple[str, ...]

    def authenticate(self, request: IncomingRequest) -> AuthenticationResult | None:
        """Return the result, or None for a handshake, which is answered 200 and not stored.

        Raises:
            AuthenticationError: The request is not the provider's.
        """


class Provider(Protocol):
    """Turns a provider's bodies into events.

    Optional: `key_ids`, the ids of the keys that open bodies, whose metrics then exist from the start.
    """

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> "Payload":
        """Decrypt and parse; raise InvalidDeliveryError for a body that can never be opened."""

    def plaintexts(self, body: bytes) -> Iterator[bytes]:
        """Yield every text that a body may hold, JSON or not, to search it; nothing if no key opens it."""

    def projection(self, event_type: str) -> "Projection | None":
        """Return the table in which dashboards read an event type, None if it has none."""

    def validate(self, payload: "Payload") -> "Event":
        """Validate, mask and identify; raise InvalidDeliveryError for content that can never be an event."""


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
class ProviderSubscription:
    """A URL to which a provider delivers a topic.

    `reference` is the provider's own id of it. `secret` signs its deliveries; the provider shows it once.
    """

    topic: str
    url: str
    reference: str | None = None
    secret: str | None = field(default=None, repr=False)


class UnknownTopicError(Exception):
    """The provider has no such topic; the text names those it has."""


class TriggerUnsupportedError(Exception):
    """The provider sends no test delivery; the text says why."""


class SubscriptionApi(Protocol):
    """A provider's API for subscriptions. Its calls raise ProviderCallError."""

    # Base URL of the API.
    url: str
    # Topics that have a schema; events of other topics are stored whole, with the flag no-schema.
    described: frozenset[str]
    # Whether a topic has at most one subscription, which must be removed before another is registered.
    exclusive: bool
    # The setting that lists the secrets of subscriptions, `topic=secret`; None if subscriptions have none.
    secrets: str | None

    @property
    def genuine(self) -> bool:
        """Whether this is the provider's own API, which cannot reach this machine, and not a sandbox."""

    def path(self, topic: str) -> str:
        """Return the path below our own address that takes the topic; raise UnknownTopicError."""

    def register(self, topic: str, url: str) -> ProviderSubscription:
        """Subscribe `url` to the topic; raise AlreadyRegisteredError if another must be removed first."""

    def remove(self, subscription: ProviderSubscription) -> None:
        """Remove a subscription; raise NotRegisteredError if there is none."""

    def listed(self) -> Sequence[ProviderSubscription] | None:
        """Return all subscriptions, None if the API cannot list them."""

    def trigger(self, topic: str) -> None:
        """Have the provider deliver a test event; raise TriggerUnsupportedError."""

    def close(self) -> None:
        """Close the connections."""
