"""Tracing: what it costs ingest to trace one request in a hundred, beside a Kvitto that traces nothing.

CPU time of ingest is compared, in turn. Rates of two Kvittos on the same two cores differ by more than tracing costs.
Needs OpenTelemetry: `tests/compat/prepare-otel` makes an environment that has it.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import bodies, load
from benchmarks.cost import cpu_seconds
from benchmarks.receivers import HEADERS, OurReceiver
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.compat.otlp_collector import PROGRAM, collector
from tests.support.kvitto_process import SECRETS, running
from tests.support.process_tree import named

FIGURE, UNTRACED = "CPU of ingest per delivery, one in a hundred traced", "without traces"
_SIZE = "0.5 KB"


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    size, number = volume.accepted[_SIZE]
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as data, collector() as spans, ExitStack() as stack:
        settings = {KVITTO: {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url}, UNTRACED: {}}
        receivers = {
            name: OurReceiver(
                stack.enter_context(
                    running(Path(data) / str(index) / "data", SECRETS | {"PROVIDERS": "kompar"} | more, program=PROGRAM)
                )
            )
            for index, (name, more) in enumerate(settings.items())
        }
        for pair in range(volume.pairs + 1):
            for name, receiver in receivers.items():
                say(f"{name}, {pair} of {volume.pairs}")
                count = bodies.write(Path(data) / "bodies", bodies.applications(number, size))
                spent = _spent(receiver, Path(data) / "bodies", count, record)
                if pair:  # the first is to warm up
                    record.add(FIGURE, name, spent, "µs")


def _spent(receiver: OurReceiver, posted: Path, number: int, record: Record) -> float:
    """Post as fast as it is answered, while workers stand still; return microseconds of ingest's CPU per delivery."""
    books = receiver.books()
    with receiver.standing():
        ingest = named(receiver.kvitto.process.pid, "kvitto ingest")
        before = cpu_seconds(ingest)
        answers = load.post(receiver.url, HEADERS, posted)
        spent = cpu_seconds(ingest) - before
    if fault := books.close(number, answers.accepted):
        record.voids.append(f"{FIGURE}: {fault}")
    return spent / answers.accepted * 1e6
