"""Tracing: what it costs ingest to trace one request in a hundred, beside a Kvitto that traces nothing.

CPU time of ingest is compared, in turn. Rates of two Kvittos on the same two cores differ by more than tracing costs.
Needs OpenTelemetry: `tests/compat/prepare-otel` makes an environment that has it.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from itertools import product
from pathlib import Path

from benchmarks import bodies, load
from benchmarks.cost import cpu_seconds
from benchmarks.receivers import HEADERS, OurReceiver
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.compat.otlp_collector import PROGRAM, collector
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.process_tree import named

FIGURE, UNTRACED = "CPU of ingest per delivery, one in a hundred traced", "without traces"
_SIZE = "0.5 KB"
# Both are posted to in turn so often for one value, since other load on the machine comes and goes.
_TURNS = 10


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    size, number = volume.accepted[_SIZE]
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as data, collector() as spans, ExitStack() as stack:
        file = Path(data) / "bodies"
        traced = stack.enter_context(_started(Path(data) / "traced", {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url}))
        untraced = stack.enter_context(_started(Path(data) / "untraced", {}))
        ours = {KVITTO: OurReceiver(traced), UNTRACED: OurReceiver(untraced)}
        books = {name: receiver.books() for name, receiver in ours.items()}
        posted, answered = Counter[str](), Counter[str]()
        with ours[KVITTO].standing(), ours[UNTRACED].standing():
            for pair in range(volume.pairs + 1):
                say(f"{FIGURE}, {pair} of {volume.pairs}")
                spent = dict.fromkeys(ours, 0.0)
                for _, (name, receiver) in product(range(_TURNS), ours.items()):
                    posted[name] += bodies.write(file, bodies.applications(number // _TURNS, size))
                    seconds, accepted = _post(receiver, file)
                    spent[name] += seconds / accepted
                    answered[name] += accepted
                for name in ours if pair else ():  # the first is to warm up
                    record.add(FIGURE, name, spent[name] / _TURNS * 1e6, "µs")
        for name in ours:
            if fault := books[name].close(posted[name], answered[name]):
                record.voids.append(f"{FIGURE}, {name}: {fault}")


def _started(folder: Path, more: Mapping[str, str]) -> AbstractContextManager[Running]:
    return running(folder / "data", SECRETS | {"PROVIDERS": "kompar"} | dict(more), program=PROGRAM)


def _post(receiver: OurReceiver, posted: Path) -> tuple[float, int]:
    """Post as fast as it is answered; return ingest's CPU time in seconds, and how many were accepted."""
    ingest = named(receiver.kvitto.process.pid, "kvitto ingest")
    before = cpu_seconds(ingest)
    answers = load.post(receiver.url, HEADERS, posted)
    return cpu_seconds(ingest) - before, answers.accepted
