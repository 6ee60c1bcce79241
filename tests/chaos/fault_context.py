"""A fault, and the context that it is injected into."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.http_client import Attempt
from tests.chaos.load import Load
from tests.chaos.proxy import Proxies
from tests.support.kvitto_process import Running
from tests.support.sentinel import WatchedPair

Servers = Proxies | WatchedPair | None


@dataclass(slots=True)
class FaultContext:
    """A running Kvitto under load.

    name: begins every entity's id. full: faults last longer than every time-out, instead of seconds.
    servers: what is between it and its servers, or the servers themselves, where a fault needs them.
    """

    kvitto: Running
    load: Load
    name: str
    full: bool
    servers: Servers = None
    edge_frozen: list[tuple[float, float]] = field(default_factory=list)

    def hold(self, quick: float, full: float) -> None:
        """Let the fault last for so many seconds, `quick` in tests and `full` in the full run."""
        time.sleep(full if self.full else quick)

    def repeat(self, quick: int, full: int, every: float) -> Iterator[int]:
        """Count repetitions of the fault, one every so many seconds."""
        for number in range(full if self.full else quick):
            yield number
            time.sleep(every)

    @contextmanager
    def edge_excused(self) -> Iterator[None]:
        """Exclude what meets the edge during a block from the longest answer, because the edge itself is frozen."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.edge_frozen.append((started, time.monotonic()))

    def is_excused(self, attempt: Attempt) -> bool:
        """Return whether an attempt met a frozen edge."""
        return any(attempt.at < end and attempt.at + attempt.seconds > start for start, end in self.edge_frozen)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks; `inject` breaks it, repairs it, and returns."""

    name: str
    inject: Callable[[FaultContext], None]


def audit(kvitto: Running) -> tuple[int, list[dict[str, Any]]]:
    """Return the audit's status and rows; no rows if a server is not back yet."""
    done = kvitto.run("audit", "--json")
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, []
