"""Idle: what `kvitto up` takes until everything is ready, and what it takes while nothing comes."""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.support.kvitto_process import PROGRAM, SECRETS, running

READY, READY_CPU = "from `kvitto up` to ready", "CPU from `kvitto up` to ready"
MEMORY, CPU_SHARE = "memory of all processes, idle", "CPU of all processes, idle"
# After this time nothing of the start is left to do. What is then measured has what is done each half minute once.
_CALM_SECONDS = 10.0


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Start with all defaults, servers included, and look at every process."""
    for number in range(volume.few_pairs):
        say(f"idle, {number + 1} of {volume.few_pairs}")
        with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as folder:
            began = time.monotonic()
            with running(Path(folder) / "data", SECRETS, program=[*PROGRAM]) as kvitto:
                record.add(READY, KVITTO, time.monotonic() - began, "s")
                processes = _tree(kvitto.process.pid)
                record.add(READY_CPU, KVITTO, _cpu_seconds(processes), "s")
                time.sleep(_CALM_SECONDS)
                processes = _tree(kvitto.process.pid)
                before, began = _cpu_seconds(processes), time.monotonic()
                time.sleep(volume.steady_seconds * 7)
                share = (_cpu_seconds(processes) - before) / (time.monotonic() - began)
                record.add(CPU_SHARE, KVITTO, share * 100, "% of a core")
                # Shared pages count once: the processes are forks of one that imported their libraries.
                record.add(MEMORY, KVITTO, sum(each.memory_full_info().pss for each in processes) / 1e6, "MB")


def _tree(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU time of processes, and of their children that ended."""
    return sum(sum(each.cpu_times()[:4]) for each in processes)
