"""Plays a fault: load, the break in the midst of it, the end of the load, the verdict."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import psycopg
from uuid_utils.compat import uuid7

from tests.faults.load import Load, Try
from tests.faults.proxy import Wires
from tests.faults.stories import application
from tests.faults.verdict import judge
from tests.running import Running
from tests.servers import eventually

ANSWER_SECONDS = 5.0
_RECOVERY_SECONDS = 120.0
_PROMPT_SECONDS = 5.0


@dataclass(slots=True)
class Scene:
    """Where a fault is played: a running Kvitto under load, and how patient the run is."""

    kvitto: Running
    load: Load
    full: bool
    wires: Wires | None = None
    silent: list[tuple[float, float]] = field(default_factory=list)

    def hold(self, quick: float, full: float) -> None:
        """Leave it broken for so many seconds: few in tests, longer than every time-out in the full run."""
        time.sleep(full if self.full else quick)

    def again(self, quick: int, full: int, every: float) -> Iterator[int]:
        """Count breaks, one every so many seconds."""
        for number in range(full if self.full else quick):
            yield number
            time.sleep(every)

    @contextmanager
    def edge_silenced(self) -> Iterator[None]:
        """Tell that the edge itself cannot answer during a block: how long that takes is not its fault."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.silent.append((started, time.monotonic()))

    def is_silent(self, each: Try) -> bool:
        """Tell whether a try met a silenced edge."""
        return any(each.at < end and each.at + each.seconds > start for start, end in self.silent)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks; `play` breaks it, mends it, and returns."""

    name: str
    play: Callable[[Scene], None]


@dataclass(slots=True)
class Result:
    """What came of a fault. Seconds: of the longest answer, and from the mend to a fresh delivery in the ledger."""

    fault: str
    requests: int = 0
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    longest: float = 0.0
    recovery: float = 0.0
    wrong: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.wrong or self.longest >= ANSWER_SECONDS)

    def describe(self) -> str:
        """Say what is amiss, shortened."""
        told = f"{self.fault}: {self.lost} lost, {self.doubled} doubled, longest answer {self.longest:.2f} s"
        return "; ".join([told, *(text[:500] for text in self.wrong[:5])])

    def figures(self) -> dict[str, Any]:
        """Return it for machines."""
        return {name: value for name, value in asdict(self).items() if name != "receipts"} | {"passed": self.passed}


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
    try:
        load.reach(volume.deliveries // 4)
        fault.play(scene)
        result.recovery = _recover(scene, f"{name}/recovery")
        load.reach(volume.deliveries)
        load.end()
        _settle(kvitto, result)
        _check_prompt(scene, f"{name}/after", result)
    except Exception as error:  # whatever it is, it belongs into the verdict
        result.wrong.append(f"{type(error).__name__}: {error}")
    finally:
        load.end()
        load.close()
    _conclude(scene, result, first, name)
    return result


def _recover(scene: Scene, entity: str) -> float:
    """Return after how many seconds a fresh delivery is in the ledger."""
    started = time.monotonic()
    done = scene.load.by_hand.deliver(application(Random(entity), entity))
    eventually(lambda: _is_in_ledger(scene.kvitto, done.receipt), "a fresh delivery in the ledger", _RECOVERY_SECONDS)
    return time.monotonic() - started


def _check_prompt(scene: Scene, entity: str, result: Result) -> None:
    seconds = _recover(scene, entity)
    if seconds > _PROMPT_SECONDS:
        result.wrong.append(f"long after the fault a fresh delivery takes {seconds:.1f} s")


def _is_in_ledger(kvitto: Running, receipt: str | None) -> bool:
    with contextlib.suppress(psycopg.Error):  # still broken
        return bool(kvitto.rows("SELECT 1 AS one FROM reporting.deliveries WHERE receipt = %s", receipt))
    return False


def _settle(kvitto: Running, result: Result) -> None:
    """Wait until nothing is in flight any more; then the books must add up."""
    found: list[tuple[int, list[dict[str, Any]]]] = []

    def settled() -> bool:
        found[:] = [audit(kvitto)]
        accounts = found[0][1]
        return bool(accounts) and all(account["in_flight"] == 0 for account in accounts)

    eventually(settled, "nothing in flight", _RECOVERY_SECONDS)
    status, accounts = found[0]
    if status or any(account["missing"] for account in accounts):
        result.wrong.append(f"the audit ends with status {status}: {accounts}")


def audit(kvitto: Running) -> tuple[int, list[dict[str, Any]]]:
    """Return the audit's status and accounts; none if a server is not back yet."""
    done = kvitto.run("audit", "--json")
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, []


def _conclude(scene: Scene, result: Result, first: str, name: str) -> None:
    tries = scene.load.tries
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
