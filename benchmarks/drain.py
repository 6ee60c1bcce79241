"""Drain: events a second from a full inbox to committed rows, beside the tutorial, a bare COPY, and opening alone."""

import json
import subprocess
import sys
import time

from benchmarks import bodies
from benchmarks.baselines.copying import copy_rate
from benchmarks.receivers import Receiver
from benchmarks.runner import Bench

FIGURE, ONE_WORKER = "drain", "drain with one worker process"
COPY, DECRYPT, PROCESS, TUTORIAL = "bare COPY", "decrypt only", "unseal + decrypt + validate", "tutorial"
_PROCESSES = 2  # as many as drain


def measure(bench: Bench) -> None:
    """Measure each in turn."""
    for _ in bench.pairs(FIGURE):
        bench.record.add(FIGURE, bench.setup.ours.name, drained(bench, bench.setup.ours, FIGURE), "/s")
        for name, rate in _opened(bench).items():
            bench.record.add(FIGURE, name, rate, "/s")
        if bench.volume.steady_seconds:
            documents = list(bodies.applications(bench.volume.drained))
            bench.record.add(FIGURE, COPY, copy_rate(bench.setup.server, documents), "/s")
        bench.record.add(FIGURE, TUTORIAL, drained(bench, bench.setup.theirs, FIGURE), "/s")


def measure_alone(bench: Bench) -> None:
    """Measure ourselves alone, with however few processes there are."""
    for _ in bench.pairs(ONE_WORKER, few=True):
        bench.record.add(ONE_WORKER, bench.setup.ours.name, drained(bench, bench.setup.ours, ONE_WORKER), "/s")


def drained(bench: Bench, receiver: Receiver, figure: str, seeds: range | None = None) -> float:
    """Fill what the receiver drains while it stands still; return events a second from then to the last commit.

    `seeds`: of applications that were sent before.
    """
    what = f"{figure}, {receiver.name}"
    number = bench.volume.drained // receiver.portion
    documents = bodies.applications(number) if seeds is None else bodies.again(seeds)
    with bench.sending(receiver, what, new=seeds is None) as sent:
        with receiver.standing():
            bench.send(sent, documents)
            started = time.time()
        ended = bench.await_stored(sent)
    return sent.accepted / (ended - started)


def _opened(bench: Bench) -> dict[str, float]:
    """Return the rates of opening alone, by as many processes as drain."""
    path = bench.setup.folder / "opened"
    bodies.write(path, bodies.applications(bench.volume.drained // _PROCESSES))
    line = [sys.executable, "-m", "benchmarks.baselines.opening", str(path)]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(_PROCESSES)]
    found = [json.loads(process.communicate()[0]) for process in running]
    return {
        DECRYPT: sum(rates["decrypted"] for rates in found),
        PROCESS: sum(rates["processed"] for rates in found),
    }
