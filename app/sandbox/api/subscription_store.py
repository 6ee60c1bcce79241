"""The subscriptions at the providers that the sandbox plays."""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

from app.local import atomic_file


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a topic is delivered. `api` is the path of the API; `secret` signs deliveries, if the provider signs."""

    id: str
    api: str
    topic: str
    url: str
    secret: str = field(repr=False)


class SubscriptionsFileError(Exception):
    """The file of subscriptions is damaged; the text says what to do."""


class SubscriptionStore:
    """Keeps subscriptions in a file, as a provider keeps them over restarts; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        try:
            rows = json.loads(path.read_bytes()) if path.exists() else []
            self._subscriptions = [Subscription(**row) for row in rows]
        except (ValueError, TypeError, RecursionError) as error:
            raise SubscriptionsFileError(f"{path} is damaged: remove it, and register again what was there") from error

    def select(self, api: str, topic: str | None = None) -> list[Subscription]:
        """Return the subscriptions of an API, all of them or those to a topic, in the order in which they were made."""
        return [row for row in self._subscriptions if row.api == api and topic in (None, row.topic)]

    def add(self, api: str, topic: str, url: str, secret: str = "") -> Subscription:
        """Add and return a subscription."""
        subscription = Subscription(secrets.token_hex(16), api, topic, url, secret)
        with self._lock:
            self._replace([*self._subscriptions, subscription])
        return subscription

    def remove(self, is_chosen: Callable[[Subscription], bool]) -> list[Subscription]:
        """Remove the chosen subscriptions, and return them."""
        with self._lock:
            removed = [subscription for subscription in self._subscriptions if is_chosen(subscription)]
            if removed:
                self._replace([subscription for subscription in self._subscriptions if subscription not in removed])
            return removed

    def _replace(self, subscriptions: list[Subscription]) -> None:
        rows = [asdict(subscription) for subscription in subscriptions]
        atomic_file.write(self._path, json.dumps(rows, indent=2).encode())
        self._subscriptions = subscriptions
