"""What is subscribed to at the providers that the sandbox plays."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

from app.local import atomic_file


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a topic goes. `api` is whose, by its path below the sandbox's address; `secret` signs, if anything does."""

    id: str
    api: str
    topic: str
    url: str
    secret: str | None = field(default=None, repr=False)


class SubscriptionsFileError(Exception):
    """The file that keeps them holds something else; the text says what to do."""


class Subscriptions:
    """Kept in a file, as a provider keeps them over its restarts; threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        try:
            kept = json.loads(path.read_bytes()) if path.exists() else []
            self._found = [Subscription(**each) for each in kept]
        except (ValueError, TypeError, RecursionError) as error:
            raise SubscriptionsFileError(f"{path} is damaged: remove it, and register anew what was there") from error

    def select(self, api: str | None = None, topic: str | None = None) -> list[Subscription]:
        """Return those of an API, to a topic, in the order in which they were made."""
        wanted = (api, topic)
        return [each for each in self._found if _matches(each.api, wanted[0]) and _matches(each.topic, wanted[1])]

    def add(self, subscription: Subscription, alone: bool = False) -> bool:
        """Add one; return False, and leave it out, if it is to be `alone` on its topic and is not."""
        with self._lock:
            if alone and self.select(subscription.api, subscription.topic):
                return False
            self._replace([*self._found, subscription])
            return True

    def remove(self, chosen: Callable[[Subscription], bool]) -> list[Subscription]:
        """Remove those that are chosen, and return them."""
        with self._lock:
            gone = [each for each in self._found if chosen(each)]
            if gone:
                self._replace([each for each in self._found if each not in gone])
            return gone

    def _replace(self, found: list[Subscription]) -> None:
        atomic_file.write(self._path, json.dumps([asdict(each) for each in found], indent=2).encode())
        self._found = found


def _matches(value: str, wanted: str | None) -> bool:
    return wanted is None or value == wanted
