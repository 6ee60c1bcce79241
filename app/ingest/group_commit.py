"""Group commit: requests that arrive during a commit join the next one. A lone request is not delayed."""

import threading
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Generic, TypeVar

from app.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A group ends at either bound: a few large items must not delay all others.
_MAX_ITEMS = 64
_MAX_BYTES = 1024 * 1024


class _Member(Generic[Item, Result]):
    """One thread's item and its result. `turn` is released when the item is done, or when its thread must lead."""

    __slots__ = ("error", "is_done", "item", "next_member", "result", "turn")
    result: Result

    def __init__(self, item: Item) -> None:
        self.item = item
        self.error: StoreUnavailableError | None = None
        self.next_member: _Member[Item, Result] | None = None
        self.is_done = False
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[Item, Result]):
    """Commits the items of many threads in groups. The thread of a group's first item leads: it commits for all."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], size: Callable[[Item], int]) -> None:
        """Use `commit`, which commits all of its items or none; `size` returns an item's bytes."""
        self._commit = commit
        self._size = size
        self._lock = threading.Lock()
        self._waiting: list[_Member[Item, Result]] = []
        self._has_leader = False

    def commit(self, item: Item) -> Result:
        """Commit an item and return its result; raises StoreUnavailableError if its group could not be committed."""
        member: _Member[Item, Result] = _Member(item)
        with self._lock:
            self._waiting.append(member)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            member.turn.acquire()
        try:
            if not member.is_done:
                self._lead()
        finally:
            if member.next_member is not None:
                member.next_member.turn.release()
        if member.error is not None:
            raise member.error
        return member.result

    def _lead(self) -> None:
        """Commit the next group, which starts with the caller's item, then appoint a leader for the rest."""
        group: list[_Member[Item, Result]] = []
        try:
            group = self._next_group()
            for member, result in zip(group, self._commit([member.item for member in group]), strict=True):
                member.result = result
        except StoreUnavailableError as error:
            for member in group:  # an error each: a traceback belongs to one thread
                member.error = StoreUnavailableError(error.reason, error.detail)
        except BaseException as error:
            if not group:  # no group could be formed: fail every waiting thread, so that none waits for a leader
                with self._lock:
                    group, self._waiting = self._waiting, []
            for member in group:
                member.error = StoreUnavailableError("internal", type(error).__name__)
            raise
        finally:
            # Each thread wakes the next one. All at once would only queue for the interpreter.
            for member, next_member in zip_longest(group, group[1:]):
                member.is_done, member.next_member = True, next_member
            self._appoint_leader()

    def _next_group(self) -> list[_Member[Item, Result]]:
        with self._lock:
            count = size = 0
            for member in self._waiting[:_MAX_ITEMS]:
                size += self._size(member.item)
                if count and size > _MAX_BYTES:
                    break
                count += 1
            group = self._waiting[:count]
            del self._waiting[:count]
        return group

    def _appoint_leader(self) -> None:
        with self._lock:
            self._has_leader = bool(self._waiting)
            if self._has_leader:
                self._waiting[0].turn.release()
