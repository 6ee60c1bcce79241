"""What the providers' APIs share: subscriptions and deliveries to them, bearer tokens, checks of requests."""

import secrets
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from app.sandbox.api.subscription_store import Subscription, SubscriptionStore
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event, Hook

# Returns monotonic seconds.
Clock = Callable[[], float]
# Views by method and rule.
Routes = dict[tuple[str, str], Callable[..., ResponseReturnValue]]


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What the APIs share.

    kompar_login, solaris_client: who may call, as name and secret. kompar_secrets: token and key of its deliveries.
    trust: certificates that are accepted in Solaris' handshake. clock: for expiring tokens and limiting calls.
    """

    store: SubscriptionStore
    dispatcher: Dispatcher
    kompar_login: tuple[str, str] = field(repr=False)
    solaris_client: tuple[str, str] = field(repr=False)
    kompar_secrets: tuple[str, str] = field(repr=False)
    trust: ssl.SSLContext
    clock: Clock = time.monotonic


class BearerTokens:
    """Grants and checks tokens; `alone`: a new one invalidates the one before it. Threads may share it."""

    SECONDS = 3600

    def __init__(self, clock: Clock, alone: bool) -> None:
        self._clock = clock
        self._alone = alone
        self._expires_at: dict[str, float] = {}

    def grant(self) -> str:
        """Return a new token."""
        token = secrets.token_urlsafe(32)
        expires_at = self._clock() + self.SECONDS
        if self._alone:
            self._expires_at = {token: expires_at}
        else:
            self._expires_at[token] = expires_at
        return token

    def check(self, token: str) -> Literal["valid", "expired", "unknown"]:
        """Return whether a token is valid now."""
        if token not in self._expires_at:
            return "unknown"
        return "valid" if self._clock() < self._expires_at[token] else "expired"


class ProviderApi(ABC):
    """One API. `path` is its path in the sandbox, `topic_key` the provider's field name for a topic.

    one_token: a new token invalidates the one before it.
    calls_to_fail: how many of the next calls the API answers with 500.
    """

    def __init__(self, path: str, topic_key: str, parts: SharedParts, one_token: bool) -> None:
        self.path = path
        self.topic_key = topic_key
        self.calls_to_fail = 0
        self._parts = parts
        self._tokens = BearerTokens(parts.clock, one_token)
        self._lock = Lock()

    @abstractmethod
    def event(self, topic: str) -> Event | None:
        """Return a generated event; None for an unknown topic."""

    @abstractmethod
    def _routes(self) -> Routes: ...

    @abstractmethod
    def _check_call(self) -> ResponseReturnValue | None:
        """Answer calls that must not reach a view."""

    @abstractmethod
    def _hook(self, subscription: Subscription) -> Hook: ...

    def blueprint(self) -> Blueprint:
        """Return the API's routes."""
        blueprint = Blueprint(self.path.replace("/", "-"), __name__, url_prefix=f"/{self.path}")
        blueprint.before_request(self._check_call)
        for (method, rule), view in self._routes().items():
            blueprint.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        return blueprint

    def _must_fail(self) -> bool:
        """Return whether this call must fail, and count it if so."""
        with self._lock:
            fails = self.calls_to_fail > 0
            self.calls_to_fail -= fails
            return fails

    def subscriptions(self, topic: str | None = None) -> list[Subscription]:
        """Return the subscriptions of this API, all of them or those to a topic."""
        return self._parts.store.select(self.path, topic)

    def unsubscribe(self, is_chosen: Callable[[Subscription], bool]) -> list[Subscription]:
        """Remove and return subscriptions; nothing more is sent to them, not even a retry."""
        removed = self._parts.store.remove(lambda candidate: candidate.api == self.path and is_chosen(candidate))
        for subscription in removed:
            self._parts.dispatcher.drop(self._hook(subscription))
        return removed

    def send(self, event: Event, fault: str | None = None) -> int:
        """Deliver an event to the subscribers of its type; return how many they are."""
        subscriptions = self.subscriptions(event.event_type)
        for subscription in subscriptions:
            self._parts.dispatcher.send(self._hook(subscription), event, fault)
        return len(subscriptions)


def json_object() -> dict[str, Any] | None:
    """Return the JSON object in the body, whatever its content type; None if there is none."""
    try:
        body = request.get_json(force=True, silent=True)
    except RecursionError:  # nested too deeply to be read
        return None
    return body if isinstance(body, dict) else None


def url_problem(url: object) -> Literal["missing", "no text", "invalid", "no https"] | None:
    """Return what is wrong with a receiver's URL, None if it is valid."""
    if url is None:
        return "missing"
    if not isinstance(url, str):
        return "no text"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in url:
        return "invalid"
    return None if parts.scheme == "https" else "no https"
