"""Group commit: items that arrive during a commit are in the next one. A lone item is not delayed."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from app.errors import StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A group ends at either bound: a few large items must not delay all others.
_MAX_ITEMS = 64
_MAX_BYTES = 1024 * 1024
logger = logging.getLogger(__name__)


class _Member(NamedTuple, Generic[Item, Result]):
    item: Item
    size: int
    future: "asyncio.Future[Result]"


class GroupCommit(Generic[Item, Result]):
    """Commits the items of an event loop in groups, in a thread of its own."""

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], size: Callable[[Item], int]) -> None:
        """Use `commit`, which commits all of its items or none; `size` returns an item's bytes."""
        self._commit = commit
        self._size = size
        self._waiting: SimpleQueue[_Member[Item, Result]] = SimpleQueue()
        threading.Thread(target=self._run, name="group-commit", daemon=True).start()

    def commit(self, item: Item) -> "asyncio.Future[Result]":
        """Return the item's result to come: StoreUnavailableError if its group could not be committed."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Member(item, self._size(item), future))
        return future

    def _run(self) -> None:
        first = None
        while True:
            group = [first or self._waiting.get()]
            first = self._fill(group)
            results: Sequence[Result] | StoreUnavailableError
            try:
                results = self._commit([member.item for member in group])
            except StoreUnavailableError as error:
                results = error
            except Exception as error:
                logger.exception("unhandled_exception")
                results = StoreUnavailableError("internal", type(error).__name__)
            with suppress(RuntimeError):  # the loop has ended
                group[0].future.get_loop().call_soon_threadsafe(_resolve, group, results)

    def _fill(self, group: list[_Member[Item, Result]]) -> _Member[Item, Result] | None:
        """Add what waits, within the bounds; return the member that is beyond them."""
        size = group[0].size
        with suppress(Empty):
            while len(group) < _MAX_ITEMS:
                member = self._waiting.get_nowait()
                size += member.size
                if size > _MAX_BYTES:
                    return member
                group.append(member)
        return None


def _resolve(group: Sequence[_Member[Item, Result]], results: Sequence[Result] | StoreUnavailableError) -> None:
    """Give each member that still waits its result, or an error of its own: a traceback belongs to one request."""
    for number, member in enumerate(group):
        if member.future.done():
            continue
        if isinstance(results, StoreUnavailableError):
            member.future.set_exception(StoreUnavailableError(results.reason, results.detail))
        else:
            member.future.set_result(results[number])
