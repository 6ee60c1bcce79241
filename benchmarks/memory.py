"""Memory: what each process holds while deliveries pass, resident, shared pages included."""

import contextlib
from collections.abc import Iterable

import psutil

from benchmarks import bodies
from benchmarks.result_files import KVITTO
from benchmarks.runner import Bench


def memory_figure(kind: str) -> str:
    """Return the name of what the largest process of a kind holds."""
    return f"memory of {kind}"


def measure(bench: Bench) -> None:
    """Look again and again while deliveries come as fast as they are answered."""
    for number in range(bench.volume.looks):
        bench.say(f"memory, {number + 1} of {bench.volume.looks}")
        with bench.sending(bench.setup.ours, "memory") as sent:
            documents = bodies.applications(bench.volume.delivered // bench.volume.looks)
            bench.send(sent, documents)
        for kind, pids in bench.setup.processes().items():
            bench.record.add(memory_figure(kind), KVITTO, _largest(pids), "MB")


def _largest(pids: Iterable[int]) -> float:
    found = [0]
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            found.append(psutil.Process(pid).memory_info().rss)
    return max(found) / 1e6
