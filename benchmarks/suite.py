"""The measurements, each on a Kvitto of its own that is started for it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    accept,
    ageing,
    bulkheads,
    console,
    cost,
    drain,
    end_to_end,
    growth,
    idle,
    memory,
    profiles,
    size,
    tracing,
)
from benchmarks.bench_environment import started
from benchmarks.result_files import Record
from benchmarks.runner import Bench
from benchmarks.workload_size import Volume

Say = Callable[[str], None]
# How much to measure, where to keep pictures, what to note values in.
Take = Callable[[Volume, Path, Record, Say], None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement: its name, and what takes it into a record. One `by_name` is made only if it is asked for."""

    name: str
    take: Take
    by_name: bool = False


def _with_setup(
    measure: Callable[[Bench], None], concurrency: int = 2, settings: Mapping[str, str] | None = None
) -> Take:
    """Return the measurement with everything started for it, and stopped after it; `settings` of Kvitto's own."""

    def take(volume: Volume, folder: Path, record: Record, say: Say) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="kvitto-bench-") as data,
            started(Path(data), concurrency, settings) as setup,
        ):
            measure(Bench(setup, volume, folder, record, say))

    return take


MEASUREMENTS = (
    Measurement("accept", _with_setup(accept.measure)),
    Measurement("accept-postgres", _with_setup(accept.measure_in_postgres, settings={"DURABLE_STORE": "postgres"})),
    Measurement("drain", _with_setup(drain.measure)),
    Measurement("one-worker", _with_setup(drain.measure_alone, concurrency=1)),
    Measurement("end-to-end", _with_setup(end_to_end.measure)),
    Measurement("growth", _with_setup(growth.measure), by_name=True),
    Measurement("ageing", ageing.measure, by_name=True),
    Measurement("console", console.measure, by_name=True),
    Measurement("memory", _with_setup(memory.measure)),
    Measurement("cost", _with_setup(cost.measure)),
    Measurement("profiles", _with_setup(profiles.measure)),
    Measurement("bulkheads", bulkheads.measure),
    Measurement("idle", idle.measure),
    Measurement("size", size.measure),
    Measurement("tracing", tracing.measure, by_name=True),
)


def _ratios(bench: Bench) -> None:
    for measure in (accept.measure, drain.measure, end_to_end.measure):
        measure(bench)


# What ratios are taken from, on one Kvitto: starting one takes longer.
CHECKED = Measurement("check", _with_setup(_ratios))
