"""Processes of Kvitto and of its servers, killed, ended and frozen."""

import subprocess
from functools import partial
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals

from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.process_control import (
    BEAT,
    EDGE,
    POSTGRES,
    REDIS,
    WORKER,
    WORKERS,
    children,
    family,
    frozen,
    parent,
    send,
)
from tests.support.kvitto_process import command
from tests.support.servers import bare_environment

Part = tuple[str, ...]


def _signal_parent(part: Part, number: Signals, context: FaultContext) -> None:
    for _ in context.repeat(quick=1, full=2, every=1):
        send(number, parent(context, part))


def _signal_child(part: Part, number: Signals, context: FaultContext, *, quick: int, full: int, every: float) -> None:
    for _ in context.repeat(quick, full, every):
        send(number, children(context, part)[0])


def _freeze_parent(part: Part, quick: float, full: float, context: FaultContext) -> None:
    with frozen(parent(context, part)):
        context.hold(quick, full)


def _freeze_child(part: Part, quick: float, full: float, context: FaultContext) -> None:
    with frozen(children(context, part)[0]):
        context.hold(quick, full)


def _freeze_family(part: Part, quick: float, full: float, context: FaultContext) -> None:
    with frozen(*family(context, part)):
        context.hold(quick, full)


def _freeze_edge(context: FaultContext) -> None:
    """Freeze it for longer than the providers' time-outs."""
    with context.edge_excused(), frozen(*children(context, EDGE)):
        context.hold(3, 12)


def _kill_all(context: FaultContext) -> None:
    """Kill everything at once, as in a power failure."""
    send(SIGKILL, *[pid for part in (EDGE, WORKERS, BEAT, REDIS, POSTGRES) for pid in family(context, part)])


def _run_second_worker(context: FaultContext) -> None:
    """Run a second worker for both providers, with another concurrency, and kill it while it works."""
    line = command("--data", str(context.kvitto.data), "worker", "--concurrency", "3")
    with subprocess.Popen(
        line, env=bare_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as second:
        context.hold(3.5, 8)
        second.kill()


KILLED = [
    Fault("edge's server killed", partial(_signal_child, EDGE, SIGKILL, quick=2, full=3, every=1.5)),
    Fault("edge killed", partial(_signal_parent, EDGE, SIGKILL)),
    Fault("worker's child killed", partial(_signal_child, WORKER, SIGKILL, quick=2, full=5, every=2)),
    Fault("worker killed", partial(_signal_parent, WORKER, SIGKILL)),
    Fault("beat killed", partial(_signal_parent, BEAT, SIGKILL)),
    Fault("redis killed", partial(_signal_parent, REDIS, SIGKILL)),
    Fault("postgres killed", partial(_signal_parent, POSTGRES, SIGKILL)),
    Fault("everything killed at once", _kill_all),
]
ENDED = [
    Fault("edge's server ended", partial(_signal_child, EDGE, SIGTERM, quick=2, full=3, every=1.5)),
    Fault("edge ended", partial(_signal_parent, EDGE, SIGTERM)),
    Fault("worker ended", partial(_signal_parent, WORKER, SIGTERM)),
    Fault("beat ended", partial(_signal_parent, BEAT, SIGTERM)),
    Fault("redis ended", partial(_signal_parent, REDIS, SIGTERM)),
    Fault("postgres stopped at once", partial(_signal_parent, POSTGRES, SIGQUIT)),
    Fault("postgres ended", partial(_signal_parent, POSTGRES, SIGINT)),
]
FROZEN = [
    Fault("edge frozen", _freeze_edge),
    Fault("worker's child frozen", partial(_freeze_child, WORKER, 3, 35)),
    Fault("worker frozen", partial(_freeze_family, WORKER, 3, 15)),
    Fault("beat frozen", partial(_freeze_parent, BEAT, 3, 15)),
    Fault("redis frozen", partial(_freeze_parent, REDIS, 3, 10)),
    Fault("postgres frozen", partial(_freeze_family, POSTGRES, 3, 15)),
]
MIXED = [
    Fault("a different second worker killed", _run_second_worker),
]
