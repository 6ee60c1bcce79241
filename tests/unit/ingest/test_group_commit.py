"""Many requests at one group commit: each gets its own result."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from app.errors import StoreUnavailableError
from app.ingest.group_commit import GroupCommit

ITEMS = 16


class Store:
    """Records the groups that it commits. The first commit waits until `others_arrived`."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failure: Exception | None = None
        self.others_arrived = threading.Event()

    def commit(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        self.others_arrived.wait(30)
        if self.failure is not None:
            raise self.failure
        return [-item for item in items]


@pytest.fixture
def store() -> Store:
    return Store()


def commit_all(store: Store, commits: GroupCommit[int, int], items: range) -> list[int | BaseException]:
    """Commit every item; all arrive while the first is being committed."""

    async def run() -> list[int | BaseException]:
        futures = [commits.commit(item) for item in items]
        store.others_arrived.set()
        return await asyncio.gather(*futures, return_exceptions=True)

    return asyncio.run(run())


def test_commit_returns_each_items_result_and_commits_once(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    for first in range(0, 10 * ITEMS, ITEMS):
        items = range(first, first + ITEMS)
        assert commit_all(store, commits, items) == [-item for item in items]
    assert [item for group in store.groups for item in group] == list(range(10 * ITEMS))


def test_commit_groups_items_that_arrive_during_a_commit(store: Store) -> None:
    commit_all(store, GroupCommit(store.commit, lambda _: 1), range(ITEMS))
    # The first group is what had arrived when the thread woke up.
    assert len(store.groups) <= 2


def test_commit_of_a_lone_item_is_not_delayed(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    assert [commit_all(store, commits, range(item, item + 1)) for item in (1, 2, 3)] == [[-1], [-2], [-3]]
    assert store.groups == [[1], [2], [3]]


def test_a_group_ends_at_64_items(store: Store) -> None:
    commit_all(store, GroupCommit(store.commit, lambda _: 1), range(200))
    assert max(map(len, store.groups)) == 64


def test_a_failed_store_fails_its_group_and_not_the_next(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    store.failure = StoreUnavailableError("redis-unreachable", "detail")
    failed = commit_all(store, commits, range(ITEMS))
    assert [(type(error), str(error)) for error in failed] == [(StoreUnavailableError, str(store.failure))] * ITEMS
    assert len({id(error) for error in failed}) == ITEMS  # a traceback belongs to one request
    store.failure = None
    assert commit_all(store, commits, range(1, 2)) == [-1]


def test_a_bug_fails_its_group_and_not_the_next(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    store.failure = ZeroDivisionError()
    failed = commit_all(store, commits, range(ITEMS))
    assert {str(error) for error in failed} == {"internal: ZeroDivisionError"}
    assert {record.message for record in caplog.records} == {"unhandled_exception"}
    store.failure = None
    assert commit_all(store, commits, range(1, 2)) == [-1]


def test_a_request_that_was_cancelled_does_not_keep_its_group_from_its_results(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)

    async def run() -> list[int]:
        futures = [commits.commit(item) for item in range(3)]
        futures[1].cancel()
        store.others_arrived.set()
        return [await futures[0], await futures[2]]

    assert asyncio.run(run()) == [0, -2]


def test_commit_puts_large_items_in_small_groups(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 400 * 1024)
    assert commit_all(store, commits, range(ITEMS)) == [-item for item in range(ITEMS)]
    assert max(map(len, store.groups)) == 2


def test_commit_puts_an_item_above_the_limit_in_its_own_group(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 10 * 1024 * 1024)
    assert commit_all(store, commits, range(4)) == [0, -1, -2, -3]
    assert list(map(len, store.groups)) == [1] * 4
