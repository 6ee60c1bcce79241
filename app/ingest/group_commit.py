"""Group commit: what many threads want committed at the same moment goes in one step, made by one of them."""

import threading
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Generic, TypeVar

from app.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A group ends at either bound; a few large items must not make all others wait.
_MOST = 64
_MOST_BYTES = 1024 * 1024


class _Part(Generic[Item, Result]):
    """One thread's item, and what became of it. `turn` is released when it is settled, or has to lead."""

    __slots__ = ("error", "follower", "item", "result", "settled", "turn")
    result: Result

    def __init__(self, item: Item) -> None:
        self.item = item
        self.error: StoreUnavailableError | None = None
        self.follower: _Part[Item, Result] | None = None
        self.settled = False
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[Item, Result]):
    """Commits items of many threads in groups: whoever comes while a group is on its way goes with the next."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], size: Callable[[Item], int]) -> None:
        """Commit by `commit`, which takes all of its items or none; `size` tells an item's bytes."""
        self._commit = commit
        self._size = size
        self._lock = threading.Lock()
        self._waiting: list[_Part[Item, Result]] = []
        self._is_led = False

    def commit(self, item: Item) -> Result:
        """Return the item's result, once it is committed; raises StoreUnavailableError if its group could not be."""
        part: _Part[Item, Result] = _Part(item)
        with self._lock:
            self._waiting.append(part)
            leads, self._is_led = not self._is_led, True
        if not leads:
            part.turn.acquire()
        try:
            if not part.settled:
                self._lead()
        finally:
            if part.follower is not None:
                part.follower.turn.release()
        if part.error is not None:
            raise part.error
        return part.result

    def _lead(self) -> None:
        """Commit the group at the head of those who wait, oneself first of all, and hand the lead on."""
        group: list[_Part[Item, Result]] = []
        try:
            group = self._next_group()
            for part, result in zip(group, self._commit([part.item for part in group]), strict=True):
                part.result = result
        except StoreUnavailableError as error:
            for part in group:  # each raises its own: a traceback is the thread's
                part.error = StoreUnavailableError(error.reason, error.detail)
        except BaseException as error:
            group = group or self._everyone()  # none could be picked, and none may be left without a leader
            for part in group:
                part.error = StoreUnavailableError("internal", type(error).__name__)
            raise
        finally:
            # One wakes the next: all at once would only stand in line for the interpreter.
            for part, follower in zip_longest(group, group[1:]):
                part.settled, part.follower = True, follower
            self._hand_on()

    def _next_group(self) -> list[_Part[Item, Result]]:
        with self._lock:
            count = size = 0
            for part in self._waiting[:_MOST]:
                size += self._size(part.item)
                if count and size > _MOST_BYTES:
                    break
                count += 1
            group = self._waiting[:count]
            del self._waiting[:count]
        return group

    def _everyone(self) -> list[_Part[Item, Result]]:
        with self._lock:
            group, self._waiting = self._waiting, []
        return group

    def _hand_on(self) -> None:
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._is_led:
                self._waiting[0].turn.release()
