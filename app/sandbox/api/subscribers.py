"""Those who subscribe at one API, and what is sent to them."""

import secrets
from collections.abc import Callable

from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event, Hook
from app.sandbox.subscriptions import Subscription, Subscriptions


class Subscribers:
    """Those of the API at a path. `hook` makes of a subscription the way that events take to it."""

    def __init__(
        self, api: str, known: Subscriptions, dispatcher: Dispatcher, hook: Callable[[Subscription], Hook]
    ) -> None:
        self._api = api
        self._known = known
        self._dispatcher = dispatcher
        self._hook = hook

    def select(self, topic: str | None = None) -> list[Subscription]:
        """Return the subscriptions, all of them or those to a topic."""
        return self._known.select(self._api, topic)

    def elsewhere(self, topic: str) -> list[str]:
        """Return the paths of other APIs where somebody subscribes to a topic."""
        return sorted({each.api for each in self._known.select(topic=topic)} - {self._api})

    def add(self, topic: str, url: str, secret: str | None = None, alone: bool = False) -> Subscription | None:
        """Make a subscription; None if it is to be `alone` on its topic and there is one."""
        made = Subscription(secrets.token_hex(16), self._api, topic, url, secret)
        return made if self._known.add(made, alone) else None

    def end(self, chosen: Callable[[Subscription], bool]) -> list[Subscription]:
        """End subscriptions and return them; nothing more is sent to them, be it a retry."""
        gone = self._known.remove(lambda each: each.api == self._api and chosen(each))
        for each in gone:
            self._dispatcher.drop(self._hook(each))
        return gone

    def send(self, event: Event, fault: str | None = None) -> int:
        """Have an event delivered to those who subscribe to its type; return how many they are."""
        found = self.select(event.event_type)
        for each in found:
            self._dispatcher.send(self._hook(each), event, fault)
        return len(found)
