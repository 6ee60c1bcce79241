"""Providers: who sends to us. One folder each; nothing outside it knows its name.

A folder holds `authentication.py` (read by the edge, standard library only) and `events.py` (read by
workers, which open and validate); both have a function `read(environment)`. So has `subscriptions.py`, if the
provider has an API by which it is told where to deliver.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from config.environment import Environment

if TYPE_CHECKING:  # the edge imports this module, and is not to know what opening needs
    from app.delivery import Payload
    from app.event import Event


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
            Refused: The request is not the provider's.
        """


class Provider(Protocol):
    """Makes events of a provider's bodies."""

    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> "Payload":
        """Decrypt and parse; raises Rejected for what can never be opened."""

    def validate(self, payload: "Payload") -> "Event":
        """Check, mask and identify; raises Rejected for what can never be an event."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a provider delivers a topic. `reference` is its own id of that; `secret` signs, and is shown once."""

    topic: str
    url: str
    reference: str | None = None
    secret: str | None = field(default=None, repr=False)


class UnknownTopic(Exception):  # noqa: N818 - reads as what happened
    """The provider has no such topic; the text says which it has."""


class CannotTrigger(Exception):  # noqa: N818
    """The provider has no call for a test delivery; the text says what else to do."""


class Subscriptions(Protocol):
    """A provider's API to say where it delivers. Its calls raise CallFailed."""

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
        """Return where below our own address the topic is delivered; raises UnknownTopic."""

    def register(self, topic: str, url: str) -> Subscription:
        """Have the topic delivered to `url`; raises AlreadyRegistered if another one would have to be removed."""

    def remove(self, subscription: Subscription) -> None:
        """Have it delivered no more; raises NotRegistered if it is not."""

    def listed(self) -> Sequence[Subscription] | None:
        """Return what the provider knows; None if it cannot be asked."""

    def trigger(self, topic: str) -> None:
        """Have a made-up event delivered; raises CannotTrigger."""

    def close(self) -> None:
        """Close the connections."""


def load_subscriptions(name: str, environment: Environment, tell: Callable[[str], None]) -> Subscriptions | None:
    """Return the provider's API with its credentials; None if it has none. `tell` hears of every wait."""
    module = _module(name, "subscriptions")
    return module.read(environment, tell) if module else None


def load_authentication(name: str, environment: Environment) -> Authentication | None:
    """Return the provider's authentication with its secrets; None, and a fault noted, if there is no such folder."""
    return _read(name, "authentication", environment)  # type: ignore[return-value]


def load(name: str, environment: Environment) -> Provider | None:
    """Return the provider with its keys; None, and a fault noted, if there is no such folder."""
    return _read(name, "events", environment)  # type: ignore[return-value]


def is_known(name: str) -> bool:
    """Tell whether there is a folder of this name."""
    return _module(name, "authentication") is not None


def known() -> list[str]:
    """Return the names of all folders."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def check_names(names: tuple[str, ...], environment: Environment) -> None:
    """Note a fault for every name that has no folder."""
    for name in names:
        if not is_known(name):
            _unknown(name, environment)


def development_secrets(name: str) -> dict[str, str]:
    """Return made-up values for the provider's secrets, by environment variable; none if there is no such folder."""
    module = _module(name, "settings")
    return module.development_secrets() if module else {}


def _read(name: str, part: str, environment: Environment) -> object | None:
    module = _module(name, part)
    if module is None:
        _unknown(name, environment)
        return None
    return module.read(environment)  # type: ignore[no-any-return]


def _unknown(name: str, environment: Environment) -> None:
    environment.fault("PROVIDERS", f"names {name!r}, which has no folder in app/providers", "Correct the name")


def _module(name: str, part: str) -> Any:
    path = f"{__name__}.{name}.{part}"
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise  # the folder is there, something that it imports is not
        return None
