"""Every measurement measures, in seconds; its figures say nothing."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from app.inbox import client
from app.inbox.stream import Inbox
from benchmarks import (
    accept,
    ageing,
    bodies,
    bulkheads,
    console,
    cost,
    drain,
    end_to_end,
    growth,
    idle,
    memory,
    profiles,
    scaling_tables,
    size,
)
from benchmarks.bench_environment import started
from benchmarks.goals import GOALS, judged
from benchmarks.result_files import Record
from benchmarks.runner import Bench
from benchmarks.scaling import PROCESSES
from benchmarks.suite import MEASUREMENTS
from benchmarks.workload_size import TINY
from config.redis_address import RedisAddress
from tests.support.kvitto_process import ROOT

ON_SCENE = (accept, drain, end_to_end, growth, memory, cost, profiles)


@pytest.mark.slow
def test_every_measurement_gives_its_figures(tmp_path: Path) -> None:
    """On one setup, for starting it takes longer than measuring."""
    with started(tmp_path) as found:
        (pictures := tmp_path / "pictures").mkdir()
        bench = Bench(found, TINY, pictures)
        for measurement in ON_SCENE:
            measurement.measure(bench)
        drain.measure_alone(bench)
        accept.measure_in_postgres(bench)
        for each in (ageing, console, idle, size):
            each.measure(TINY, pictures, bench.record, bench.say)
        _lost_is_reported(bench)
    assert bench.record.points
    # All goals but those of bulkheads and of tracing, which have their own tests.
    assert [goal.figure for goal, _, _ in judged(bench.record)] == [goal.figure for goal in GOALS[:-3]]
    for path in pictures.iterdir():
        assert str(tmp_path) not in path.read_text()


def _lost_is_reported(bench: Bench) -> None:
    """Entries that are deleted before they are stored void the run that they were sent in, and none before."""
    assert bench.record.voids == []
    ours = bench.setup.ours
    with bench.sending(ours, "a loss") as sent:
        with ours.standing():
            bench.send(sent, bodies.applications(3))
            inbox = Inbox(client.connect(RedisAddress.parse(bench.setup.kvitto.redis)), "kompar")
            inbox.acknowledge(inbox.claim("a thief"))
        sent.accepted = 0  # else they would be waited for
    assert bench.record.voids == ["a loss: the audit reports 3 missing"]


@pytest.mark.slow
def test_bulkheads_compares_a_provider_under_anothers_burst_with_itself() -> None:
    found = bulkheads.compare(20, 1, 0.4, lambda _: None)
    assert not found.void
    assert 0 < found.medians[0] <= found.tails[0]


@pytest.mark.slow
def test_scaling_measures_stores_and_service_times_and_the_forecast_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "scaling.json"
    for words in (
        ["scaling", "--deliveries", "60", "--rounds", "1", "--file"],
        ["forecast", "--day", "1000", "--times"],
    ):
        line = [sys.executable, "-m", f"benchmarks.{words[0]}", *words[1:], str(file)]
        said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert [row for row in said.splitlines() if row.startswith("| 1 ")]
    record = Record.read(file)
    assert [record.values(scaling_tables.figure(number)) != [] for number in PROCESSES] == [True] * len(PROCESSES)
    times = asdict(scaling_tables.service_times(record))
    assert all(times[name] > 0 for name in ("accept", "open", "store"))


def test_help_names_every_measurement_and_has_an_example() -> None:
    line = [sys.executable, "-m", "benchmarks", "--help"]
    said = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "Example: python -m benchmarks" in said
    assert all(measurement.name in said for measurement in MEASUREMENTS)
