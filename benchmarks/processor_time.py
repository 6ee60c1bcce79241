"""Processor time during a block: of groups of processes, and of everything else on the machine."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from benchmarks.cost import cpu_seconds

Groups = Callable[[], Mapping[str, Sequence[int]]]


@dataclass(slots=True)
class Usage:
    """seconds: of processor time, by group. others: cores that everything else used, on average."""

    elapsed: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    others: float = 0.0

    @property
    def speed(self) -> float:
        """The share of each core that was left, if all of them are wanted."""
        cores = os.cpu_count() or 1
        return max(0.05, 1 - self.others / cores)


@contextmanager
def measured(groups: Groups) -> Iterator[Usage]:
    """Measure until the block ends. `groups` names the processes, which may change meanwhile."""
    usage, before = Usage(), {name: {pid: cpu_seconds([pid]) for pid in pids} for name, pids in groups().items()}
    began, busy = time.monotonic(), _busy_seconds()
    yield usage
    usage.elapsed, busy = time.monotonic() - began, _busy_seconds() - busy
    for name, pids in groups().items():
        usage.seconds[name] = sum(cpu_seconds([pid]) - before[name].get(pid, 0.0) for pid in pids)
    usage.others = max(0.0, busy - sum(usage.seconds.values())) / usage.elapsed


def _busy_seconds() -> float:
    """Return the seconds for which cores were busy since the machine started, all cores together."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)
