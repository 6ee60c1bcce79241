"""What the providers' APIs have in common: subscriptions, and deliveries to them."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint

from app.sandbox.api.bearer_tokens import Clock
from app.sandbox.api.call_limits import Outage
from app.sandbox.api.subscription_store import Subscription, SubscriptionStore
from app.sandbox.credentials import Credentials
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event, Hook


@dataclass(frozen=True, slots=True)
class SharedParts:
    """What the APIs share.

    shake_hands: sends a receiver the empty request that precedes a subscription at Solaris; returns the status.
    clock: returns monotonic seconds, for expiring tokens and limiting calls.
    """

    store: SubscriptionStore
    dispatcher: Dispatcher
    credentials: Credentials
    shake_hands: Callable[[str], int]
    clock: Clock = time.monotonic


class ProviderApi(ABC):
    """One API. `path` is its path in the sandbox, `topic_key` the provider's field name for a topic."""

    def __init__(self, path: str, topic_key: str, parts: SharedParts) -> None:
        self.path = path
        self.topic_key = topic_key
        self.outage = Outage()
        self._parts = parts

    @abstractmethod
    def blueprint(self) -> Blueprint:
        """Return the API's routes."""

    @abstractmethod
    def event(self, topic: str) -> Event | None:
        """Return a generated event; None for an unknown topic."""

    @abstractmethod
    def hook(self, subscription: Subscription) -> Hook:
        """Return the hook of a subscription."""

    def subscriptions(self, topic: str | None = None) -> list[Subscription]:
        """Return the subscriptions of this API, all of them or those to a topic."""
        return self._parts.store.select(self.path, topic)

    def other_apis(self, topic: str) -> list[str]:
        """Return the paths of other APIs that have subscriptions to a topic."""
        return sorted({subscription.api for subscription in self._parts.store.select(topic=topic)} - {self.path})

    def subscribe(self, topic: str, url: str, secret: str = "", alone: bool = False) -> Subscription:
        """Make a subscription; raises TopicTakenError if it must be `alone` on its topic and is not."""
        subscription = Subscription(secrets.token_hex(16), self.path, topic, url, secret)
        self._parts.store.add(subscription, alone)
        return subscription

    def unsubscribe(self, is_chosen: Callable[[Subscription], bool]) -> list[Subscription]:
        """Remove and return subscriptions; nothing more is sent to them, not even a retry."""
        removed = self._parts.store.remove(lambda candidate: candidate.api == self.path and is_chosen(candidate))
        for subscription in removed:
            self._parts.dispatcher.drop(self.hook(subscription))
        return removed

    def send(self, event: Event, fault: str | None = None) -> int:
        """Deliver an event to the subscribers of its type; return how many they are."""
        subscriptions = self.subscriptions(event.event_type)
        for subscription in subscriptions:
            self._parts.dispatcher.send(self.hook(subscription), event, fault)
        return len(subscriptions)
