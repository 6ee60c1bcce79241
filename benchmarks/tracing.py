"""Tracing: what it costs ingest to trace one request in a hundred.

Two ingest processes of one Kvitto, with and without traces, are posted to in short turns. They share the stores, so
that nothing but tracing differs. Needs OpenTelemetry: `tests/compat/prepare-otel` makes an environment that has it.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import bodies, load
from benchmarks.cost import cpu_seconds
from benchmarks.receivers import HEADERS, OurReceiver
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.compat.otlp_collector import PROGRAM, collector
from tests.support.kvitto_process import ROOT, SECRETS, Running, running, with_secrets
from tests.support.ports import free_port
from tests.support.process_tree import below
from tests.support.servers import eventually

RATE, CPU = "tracing: accept 0.5 KB", "tracing: CPU of ingest per delivery"
UNTRACED = "nothing traced"
_SIZE = "0.5 KB"
# A value is of so many short turns of each, since other load on the machine comes and goes.
_TURNS = 10
# Half of them go to the process that traces: that none of them is traced is no chance.
_SURELY_TRACED = 4_000


@dataclass(frozen=True, slots=True)
class _Ingest:
    process: subprocess.Popen[bytes]
    url: str

    def cpu_seconds(self) -> float:
        return cpu_seconds([self.process.pid, *below(self.process.pid)])


@dataclass(slots=True)
class _Spent:
    """What a process spent on the turns of one value."""

    accepted: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    size, number = volume.accepted[_SIZE]
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as data, collector() as spans, ExitStack() as stack:
        settings = SECRETS | {"PROVIDERS": "kompar"}
        kvitto = stack.enter_context(running(Path(data) / "data", settings, program=PROGRAM))
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        ours = {name: stack.enter_context(_ingest(kvitto, more)) for name, more in ((KVITTO, traces), (UNTRACED, {}))}
        books, posted, accepted = OurReceiver(kvitto).books(), 0, 0
        with OurReceiver(kvitto).standing():
            for pair in range(volume.pairs + 1):
                say(f"tracing, {pair} of {volume.pairs}")
                spent = {name: _Spent() for name in ours}
                for turn in range(2 * _TURNS):
                    name = (KVITTO, UNTRACED, UNTRACED, KVITTO)[turn % 4]  # neither always comes first
                    posted += _post(ours[name], Path(data) / "bodies", number // _TURNS, size, spent[name])
                accepted += sum(each.accepted for each in spent.values())
                for name, each in spent.items() if pair else ():  # the first is to warm up
                    record.add(RATE, name, each.accepted / each.seconds, "/s")
                    record.add(CPU, name, each.cpu_seconds / each.accepted * 1e6, "µs")
        if fault := books.close(posted, accepted):
            record.voids.append(f"tracing: {fault}")
        if accepted > _SURELY_TRACED and not spans.spans:
            record.voids.append("tracing: no span arrived at the collector")


@contextmanager
def _ingest(kvitto: Running, more: Mapping[str, str]) -> Iterator[_Ingest]:
    """Run another ingest process of a Kvitto, with more settings."""
    address = f"127.0.0.1:{free_port()}"
    environment = with_secrets(kvitto.environment) | {"INGEST_BIND": address} | dict(more)
    with subprocess.Popen([*PROGRAM, "ingest"], env=environment, cwd=ROOT) as process:
        try:
            eventually(lambda: _is_ready(f"http://{address}/readyz"), "another ingest process")
            yield _Ingest(process, f"http://{address}/webhooks/kompar/applications")
        finally:
            process.terminate()


def _post(ingest: _Ingest, file: Path, number: int, size: int, spent: _Spent) -> int:
    """Post as fast as it is answered, and add what that took; return how many were posted."""
    posted = bodies.write(file, bodies.applications(number, size))
    os.sync()  # what was before keeps the disk of the next turn busy
    before = ingest.cpu_seconds()
    answers = load.post(ingest.url, HEADERS, file)
    spent.cpu_seconds += ingest.cpu_seconds() - before
    spent.accepted += answers.accepted
    spent.seconds += answers.seconds
    return posted


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
