"""The scene of a fault, and what a fault is."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.http_client import Try
from tests.faults.load import Load
from tests.faults.proxy import Wires
from tests.kvitto_process import Running


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


def audit(kvitto: Running) -> tuple[int, list[dict[str, Any]]]:
    """Return the audit's status and accounts; none if a server is not back yet."""
    done = kvitto.run("audit", "--json")
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        return done.returncode, []
