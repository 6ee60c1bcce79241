"""Accept: durable answers a second and their latencies, beside an empty view, nginx, a bare append and the tutorial.

Nothing is drained meanwhile: this is the edge alone, and the tutorial's edge alone. One more figure has all parts at
work on the same cores.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from benchmarks import bodies
from benchmarks.cost import cpu_seconds
from benchmarks.load import Answers
from benchmarks.receivers import Receiver
from benchmarks.result_files import KVITTO
from benchmarks.runner import Bench

EMPTY, NGINX, APPEND, TUTORIAL = "empty Flask view", "nginx", "bare append", "tutorial"
BUSY_OF = "accept 0.5 KB"
BUSY, BEHIND = f"{BUSY_OF} while all is drained", "CPU of worker, Postgres and Redis per delivery"
_CROWD_CONNECTIONS = 256
CROWD = f"{BUSY_OF} over {_CROWD_CONNECTIONS} connections"
_UNIT = "/s"
# The generator holds all bodies in memory.
_HELD_BYTES = 200e6
# The share of posts at a fixed rate that does not count.
_WARM = 0.2


def measure(bench: Bench) -> None:
    """Measure every size of body."""
    for label, (size, number) in bench.volume.accepted.items():
        figure = f"accept {label}"
        also_busy = figure == BUSY_OF and bench.volume.steady_seconds > 0
        for _ in bench.pairs(figure, few=figure != BUSY_OF):
            rate = _accept(bench, bench.setup.ours, figure, size, number)
            if bench.volume.steady_seconds:
                _hold(bench, figure, size, rate / 2)
            if also_busy:
                _accept_while_draining(bench, size, number)
            documents = partial(bodies.applications, number, size)
            rate = _answer(bench, EMPTY, f"{bench.setup.empty}/", figure, documents())
            if also_busy:
                bench.record.add(BUSY, EMPTY, rate, _UNIT)
            if bench.volume.steady_seconds:  # limits, which no ratio is checked against
                _hold_empty(bench, figure, size, rate / 2)
                _answer(bench, NGINX, f"{bench.setup.nginx}/", figure, documents())
                bench.record.add(figure, APPEND, _appended(bench, size, number), _UNIT)
            _accept(bench, bench.setup.theirs, figure, size, number)
        if also_busy:
            _crowd(bench, size, number)


def measure_in_postgres(bench: Bench) -> None:
    """Measure every size of body where Postgres is the durable store, and Redis only wakes."""
    for label, (size, number) in bench.volume.accepted.items():
        figure = in_postgres(f"accept {label}")
        for _ in bench.pairs(figure, few=True):
            _accept(bench, bench.setup.ours, figure, size, number)


def _accept(bench: Bench, receiver: Receiver, figure: str, size: int, number: int) -> float:
    """Post as fast as it is answered; return answers a second."""
    what = f"{figure}, {receiver.name}"
    with bench.sending(receiver, what) as sent, receiver.standing():
        answers = bench.post(receiver.url, what, bodies.applications(number // receiver.portion, size))
        sent.posted, sent.accepted = answers.posted, answers.accepted
    bench.record.add(figure, receiver.name, answers.rate, _UNIT)
    return answers.rate


def _crowd(bench: Bench, size: int, number: int) -> None:
    """Post over many connections, of which more share a wait for the disk."""
    crowd = replace(bench, connections=_CROWD_CONNECTIONS)
    for _ in bench.pairs(CROWD, few=True):
        _accept(crowd, bench.setup.ours, CROWD, size, number)
        _answer(crowd, EMPTY, f"{bench.setup.empty}/", CROWD, bodies.applications(number, size))


def _accept_while_draining(bench: Bench, size: int, number: int) -> None:
    """Post as fast as it is answered while workers store; note answers a second, and what a delivery costs the rest."""
    processes = bench.setup.processes()
    behind = [*processes["worker"], *processes["Postgres"], *processes["Redis"]]
    before = cpu_seconds(behind)
    with bench.sending(bench.setup.ours, BUSY) as sent:
        answers = bench.send(sent, bodies.applications(number, size))
        bench.await_stored(sent)
        spent = cpu_seconds(behind) - before
    bench.record.add(BUSY, KVITTO, answers.rate, _UNIT)
    bench.record.add(BEHIND, KVITTO, spent / sent.accepted * 1e6, "µs")


def _hold(bench: Bench, figure: str, size: int, rate: float) -> None:
    """Post at a fixed rate, and note the latencies: not of new connections, nor of a disk busy with what was before."""
    what = half(figure)
    os.sync()
    with bench.sending(bench.setup.ours, what) as sent, bench.setup.ours.standing():
        answers = bench.send(sent, _for_a_while(bench, size, rate), rate, _WARM)
    _note(bench, what, KVITTO, answers)
    bench.record.draw(what, answers.latency)


def _hold_empty(bench: Bench, figure: str, size: int, rate: float) -> None:
    """Post to the empty view, at half the highest rate of its own: what server and machine do by themselves."""
    what = half(figure)
    answers = bench.post(f"{bench.setup.empty}/", f"{what}, {EMPTY}", _for_a_while(bench, size, rate), rate, _WARM)
    _note(bench, what, EMPTY, answers)


def in_postgres(figure: str) -> str:
    """Return what a figure is called where Postgres is the durable store."""
    return f"{figure} into Postgres"


def half(figure: str) -> str:
    """Return what a figure is called at half the highest rate."""
    return f"{figure} at half the highest rate"


def _for_a_while(bench: Bench, size: int, rate: float) -> Iterable[dict[str, object]]:
    return bodies.applications(max(20, round(min(rate * bench.volume.steady_seconds, _HELD_BYTES / size))), size)


def _note(bench: Bench, what: str, name: str, answers: Answers) -> None:
    for share, label in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")):
        bench.record.add(f"{what}, {label}", name, answers.milliseconds(share), "ms")


def _answer(bench: Bench, name: str, url: str, figure: str, documents: Iterable[dict[str, object]]) -> float:
    answers = bench.post(url, f"{figure}, {name}", documents)
    bench.record.add(figure, name, answers.rate, _UNIT)
    return answers.rate


def _appended(bench: Bench, size: int, number: int) -> float:
    line = [sys.executable, "-m", "benchmarks.baselines.append", bench.setup.append_url, str(size), str(number)]
    return float(subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout)
