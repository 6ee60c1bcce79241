"""Many threads at one group commit: each gets its own result."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import StoreUnavailableError
from app.ingest.group_commit import GroupCommit

THREADS = 16


class Store:
    """Records the groups that it commits, each slowly enough for other items to arrive."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failure: Exception | None = None

    def commit(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        time.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        return [-item for item in items]


@pytest.fixture
def store() -> Store:
    return Store()


def commit_all(commits: GroupCommit[int, int], items: range) -> list[int | Exception]:
    """Commit every item in a thread of its own, all at once."""
    start = threading.Barrier(len(items))

    def one(item: int) -> int | Exception:
        start.wait()
        try:
            return commits.commit(item)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(items)) as threads:
        return list(threads.map(one, items))


def test_commit_returns_each_threads_result_and_commits_once(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    for first in range(0, 10 * THREADS, THREADS):
        items = range(first, first + THREADS)
        assert commit_all(commits, items) == [-item for item in items]
    assert sorted(item for group in store.groups for item in group) == list(range(10 * THREADS))


def test_commit_groups_items_that_arrive_during_a_commit(store: Store) -> None:
    commit_all(GroupCommit(store.commit, lambda _: 1), range(THREADS))
    assert len(store.groups) <= THREADS / 2


def test_commit_of_a_lone_item_is_not_delayed(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    assert [commits.commit(item) for item in (1, 2, 3)] == [-1, -2, -3]
    assert store.groups == [[1], [2], [3]]


def test_a_failed_store_fails_its_group_and_not_the_next(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    store.failure = StoreUnavailableError("redis-unreachable", "detail")
    failed = commit_all(commits, range(THREADS))
    assert [(type(error), str(error)) for error in failed] == [(StoreUnavailableError, str(store.failure))] * THREADS
    assert len({id(error) for error in failed}) == THREADS  # a traceback belongs to one thread
    store.failure = None
    assert commits.commit(1) == -1


def test_a_bug_is_raised_once_per_group_and_leaves_no_thread_waiting(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 1)
    store.failure = ZeroDivisionError()
    failed = commit_all(commits, range(THREADS))
    assert sum(isinstance(error, ZeroDivisionError) for error in failed) == len(store.groups)
    assert {str(error) for error in failed if isinstance(error, StoreUnavailableError)} <= {
        "internal: ZeroDivisionError"
    }


def test_a_bug_while_a_group_is_formed_leaves_no_thread_waiting(store: Store) -> None:
    sizes = [0]
    commits = GroupCommit(store.commit, lambda _: 1 // sizes[0])
    failed = commit_all(commits, range(THREADS))
    assert {str(error) for error in failed if isinstance(error, StoreUnavailableError)} <= {
        "internal: ZeroDivisionError"
    }
    assert all(isinstance(error, StoreUnavailableError | ZeroDivisionError) for error in failed)
    sizes[0] = 1
    assert (commits.commit(1), store.groups) == (-1, [[1]])


def test_commit_puts_large_items_in_small_groups(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 400 * 1024)
    assert commit_all(commits, range(THREADS)) == [-item for item in range(THREADS)]
    assert max(map(len, store.groups)) == 2


def test_commit_puts_an_item_above_the_limit_in_its_own_group(store: Store) -> None:
    commits = GroupCommit(store.commit, lambda _: 10 * 1024 * 1024)
    assert commit_all(commits, range(4)) == [0, -1, -2, -3]
    assert list(map(len, store.groups)) == [1] * 4
