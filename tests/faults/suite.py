"""Plays a fault: load, the break in the midst of it, the end of the load, the verdict."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import psycopg
from uuid_utils.compat import uuid7

from tests.faults.fault_context import Fault, Scene, audit
from tests.faults.load import Load
from tests.faults.oracle import judge
from tests.faults.proxy import Wires
from tests.faults.result import Result
from tests.faults.scenarios import application
from tests.kvitto_process import Running
from tests.servers import eventually

_RECOVERY_SECONDS = 60.0
# What a dead worker had claimed is taken over after 45 s at the latest.
_SETTLED_SECONDS = 150.0
_PROMPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Volume:
    """How much is sent during each fault: at least so many deliveries, at most so many a second."""

    deliveries: int
    rate: float
    full: bool
    seed: int


def play(kvitto: Running, fault: Fault, volume: Volume, wires: Wires | None = None) -> Result:
    """Play a fault to its end. What Kvitto does not do by itself in time is in `wrong`."""
    first = str(uuid7())
    name = fault.name.replace(" ", "-")
    load = Load(kvitto.ingest, str(volume.seed), name, volume.rate)
    scene = Scene(kvitto, load, volume.full, wires)
    result = Result(fault.name)
    load.start()
    with _noted(result):
        load.reach(volume.deliveries // 4)
        fault.play(scene)
        result.recovery = _recover(scene, f"{name}/recovery")
        load.reach(volume.deliveries)
    load.end()
    with _noted(result):
        _settle(kvitto, result)
        _await_normal(scene, name)
    load.close()
    with _noted(result):
        _conclude(scene, result, first, name)
    return result


@contextlib.contextmanager
def _noted(result: Result) -> Iterator[None]:
    """Note what goes wrong in a block, whatever it is: it belongs into the verdict."""
    try:
        yield
    except Exception as error:
        result.wrong.append(f"{type(error).__name__}: {error}")


def _recover(scene: Scene, entity: str) -> float:
    """Return after how many seconds a fresh delivery is in the ledger."""
    started = time.monotonic()
    done = scene.load.by_hand.deliver(application(Random(entity), entity))
    eventually(lambda: _is_in_ledger(scene.kvitto, done.receipt), "a fresh delivery in the ledger", _RECOVERY_SECONDS)
    return time.monotonic() - started


def _await_normal(scene: Scene, name: str) -> None:
    """Wait until a fresh delivery is in the ledger as promptly as ever: a sweep alone would take longer."""
    entities = (f"{name}/after-{number}" for number in count())
    eventually(lambda: _recover(scene, next(entities)) < _PROMPT_SECONDS, "back to normal", _RECOVERY_SECONDS)


def _is_in_ledger(kvitto: Running, receipt: str | None) -> bool:
    with contextlib.suppress(psycopg.Error):  # still broken
        return bool(kvitto.rows("SELECT 1 AS one FROM reporting.deliveries WHERE receipt = %s", receipt))
    return False


def _answers(kvitto: Running) -> bool:
    with contextlib.suppress(psycopg.Error):
        return bool(kvitto.rows("SELECT 1 AS one"))
    return False


def _settle(kvitto: Running, result: Result) -> None:
    """Wait until nothing is in flight any more; then the books must add up."""
    found: list[tuple[int, list[dict[str, Any]]]] = []

    def settled() -> bool:
        found[:] = [audit(kvitto)]
        accounts = found[0][1]
        return bool(accounts) and all(account["in_flight"] == 0 for account in accounts)

    eventually(settled, "nothing in flight", _SETTLED_SECONDS)
    status, accounts = found[0]
    if status or any(account["missing"] for account in accounts):
        result.wrong.append(f"the audit ends with status {status}: {accounts}")


def _conclude(scene: Scene, result: Result, first: str, name: str) -> None:
    tries = scene.load.tries
    eventually(lambda: _answers(scene.kvitto), "the ledger answering", _RECOVERY_SECONDS)
    verdict = judge(scene.kvitto, tries, first, name)
    result.requests = len(tries)
    result.receipts = [each.receipt for each in tries if each.receipt is not None]
    result.accepted = len(result.receipts)
    result.lost, result.doubled = verdict.lost, verdict.doubled
    result.longest = max((each.seconds for each in tries if not scene.is_silent(each)), default=0.0)
    result.wrong += verdict.wrong
    if scene.load.given_up:
        result.wrong.append(f"{scene.load.given_up} events were never answered 200")


def check_all(kvitto: Running, receipts: set[str]) -> int:
    """Return how many of all receipts ever given the ledger lacks at the end."""
    held = {row["receipt"] for row in kvitto.rows("SELECT receipt::text FROM reporting.deliveries")}
    return len(receipts - held)
