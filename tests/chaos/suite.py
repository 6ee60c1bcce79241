"""Runs a fault: load, the fault in the middle of it, the end of the load, and the comparison with the ledger."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import psycopg
from uuid_utils.compat import uuid7

from tests.chaos.fault_context import Fault, FaultContext, Servers, audit
from tests.chaos.load import Load
from tests.chaos.oracle import compare
from tests.chaos.result import Result
from tests.chaos.scenarios import application
from tests.support.kvitto_process import Running
from tests.support.servers import eventually

_RECOVERY_SECONDS = 60.0
# A dead worker's claims are taken over after 45 s at the latest.
_DRAINED_SECONDS = 150.0
_PROMPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Volume:
    """How much is sent during each fault: at least so many deliveries, at most so many per second."""

    deliveries: int
    rate: float
    full: bool
    seed: int


def run_fault(kvitto: Running, fault: Fault, volume: Volume, servers: Servers = None) -> Result:
    """Run a fault to its end. `wrong` of the result holds what Kvitto does not repair by itself in time."""
    first = str(uuid7())
    name = fault.name.replace(" ", "-")
    load = Load(kvitto.ingest, str(volume.seed), name, volume.rate)
    context = FaultContext(kvitto, load, name, volume.full, servers)
    result = Result(fault.name)
    load.start()
    with _errors_recorded(result):
        load.await_accepted(volume.deliveries // 4)
        fault.inject(context)
        result.recovery = _recover(context, f"{name}/recovery")
        load.await_accepted(volume.deliveries)
    load.finish()
    with _errors_recorded(result):
        _await_drained(kvitto, result)
        _await_normal(context, name)
    load.close()
    with _errors_recorded(result):
        _conclude(context, result, first, name)
    return result


@contextlib.contextmanager
def _errors_recorded(result: Result) -> Iterator[None]:
    """Record any exception of a block as part of the result."""
    try:
        yield
    except Exception as error:
        result.wrong.append(f"{type(error).__name__}: {error}")


def _recover(context: FaultContext, entity: str) -> float:
    """Return after how many seconds a new delivery is in the ledger."""
    started = time.monotonic()
    attempt = context.load.extra.deliver(application(Random(entity), entity))
    eventually(lambda: _has_receipt(context.kvitto, attempt.receipt), "a new delivery in the ledger", _RECOVERY_SECONDS)
    return time.monotonic() - started


def _await_normal(context: FaultContext, name: str) -> None:
    """Wait until a new delivery reaches the ledger as fast as before the fault: a sweep alone would take longer."""
    entities = (f"{name}/after-{number}" for number in count())
    eventually(lambda: _recover(context, next(entities)) < _PROMPT_SECONDS, "back to normal", _RECOVERY_SECONDS)


def _has_receipt(kvitto: Running, receipt: str | None) -> bool:
    with contextlib.suppress(psycopg.Error):  # still broken
        return bool(kvitto.rows("SELECT 1 AS one FROM reporting.deliveries WHERE receipt = %s", receipt))
    return False


def _answers(kvitto: Running) -> bool:
    with contextlib.suppress(psycopg.Error):
        return bool(kvitto.rows("SELECT 1 AS one"))
    return False


def _await_drained(kvitto: Running, result: Result) -> None:
    """Wait until nothing is in flight; then the audit must add up."""
    last: list[tuple[int, list[dict[str, Any]]]] = []

    def is_drained() -> bool:
        last[:] = [audit(kvitto)]
        rows = last[0][1]
        return bool(rows) and all(row["in_flight"] == 0 for row in rows)

    eventually(is_drained, "nothing in flight", _DRAINED_SECONDS)
    status, rows = last[0]
    if status or any(row["missing"] for row in rows):
        result.wrong.append(f"the audit ends with status {status}: {rows}")


def _conclude(context: FaultContext, result: Result, first: str, name: str) -> None:
    attempts = context.load.attempts
    eventually(lambda: _answers(context.kvitto), "the ledger answering", _RECOVERY_SECONDS)
    discrepancies = compare(context.kvitto, attempts, first, name)
    result.requests = len(attempts)
    result.receipts = [attempt.receipt for attempt in attempts if attempt.receipt is not None]
    result.accepted = len(result.receipts)
    result.lost, result.doubled = discrepancies.lost, discrepancies.doubled
    result.longest = max((attempt.seconds for attempt in attempts if not context.is_excused(attempt)), default=0.0)
    result.wrong += discrepancies.wrong
    if context.load.given_up:
        result.wrong.append(f"{context.load.given_up} events were never answered 200")


def count_missing(kvitto: Running, receipts: set[str]) -> int:
    """Return how many of all receipts ever given are not in the ledger."""
    stored = {row["receipt"] for row in kvitto.rows("SELECT receipt::text FROM reporting.deliveries")}
    return len(receipts - stored)
