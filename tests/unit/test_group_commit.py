"""Many threads at one group commit: each gets its own result, however they meet."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import StoreUnavailableError
from app.ingest.group_commit import GroupCommit

THREADS = 16


class Store:
    """Takes groups, each slowly enough for others to come meanwhile; notes them."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failure: Exception | None = None

    def take(self, items: Sequence[int]) -> list[int]:
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


def test_each_gets_its_own_result_and_is_committed_once(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 1)
    for first in range(0, 10 * THREADS, THREADS):
        items = range(first, first + THREADS)
        assert commit_all(commits, items) == [-item for item in items]
    assert sorted(item for group in store.groups for item in group) == list(range(10 * THREADS))


def test_who_comes_meanwhile_goes_together(store: Store) -> None:
    commit_all(GroupCommit(store.take, lambda _: 1), range(THREADS))
    assert len(store.groups) <= THREADS / 2


def test_alone_one_waits_for_nobody(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 1)
    assert [commits.commit(item) for item in (1, 2, 3)] == [-1, -2, -3]
    assert store.groups == [[1], [2], [3]]


def test_a_store_that_fails_fails_its_group_and_not_the_next(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 1)
    store.failure = StoreUnavailableError("redis-unreachable", "detail")
    failed = commit_all(commits, range(THREADS))
    assert [(type(each), str(each)) for each in failed] == [(StoreUnavailableError, str(store.failure))] * THREADS
    assert len({id(each) for each in failed}) == THREADS  # a traceback is one thread's
    store.failure = None
    assert commits.commit(1) == -1


def test_a_fault_of_ours_is_raised_once_and_leaves_nobody_waiting(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 1)
    store.failure = ZeroDivisionError()
    failed = commit_all(commits, range(THREADS))
    assert sum(isinstance(each, ZeroDivisionError) for each in failed) == len(store.groups)
    assert {str(each) for each in failed if isinstance(each, StoreUnavailableError)} <= {"internal: ZeroDivisionError"}


def test_a_fault_while_a_group_is_picked_leaves_nobody_waiting(store: Store) -> None:
    sizes = [0]
    commits = GroupCommit(store.take, lambda _: 1 // sizes[0])
    failed = commit_all(commits, range(THREADS))
    assert {str(each) for each in failed if isinstance(each, StoreUnavailableError)} <= {"internal: ZeroDivisionError"}
    assert all(isinstance(each, StoreUnavailableError | ZeroDivisionError) for each in failed)
    sizes[0] = 1
    assert (commits.commit(1), store.groups) == (-1, [[1]])


def test_large_items_go_in_small_groups(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 400 * 1024)
    assert commit_all(commits, range(THREADS)) == [-item for item in range(THREADS)]
    assert max(map(len, store.groups)) == 2


def test_a_larger_one_than_any_group_goes_alone(store: Store) -> None:
    commits = GroupCommit(store.take, lambda _: 10 * 1024 * 1024)
    assert commit_all(commits, range(4)) == [0, -1, -2, -3]
    assert list(map(len, store.groups)) == [1] * 4
