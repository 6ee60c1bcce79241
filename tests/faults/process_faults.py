"""Kvitto's own processes, and its servers', killed, ended and frozen."""

import subprocess
from functools import partial
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals

from tests.faults.fault_context import Fault, Scene
from tests.faults.process_control import (
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
from tests.kvitto_process import command
from tests.servers import bare_environment

Part = tuple[str, ...]


def _signal_parent(part: Part, number: Signals, scene: Scene) -> None:
    for _ in scene.again(quick=1, full=2, every=1):
        send(number, parent(scene, part))


def _signal_child(part: Part, number: Signals, scene: Scene, *, quick: int, full: int, every: float) -> None:
    for _ in scene.again(quick, full, every):
        send(number, children(scene, part)[0])


def _freeze_parent(part: Part, quick: float, full: float, scene: Scene) -> None:
    with frozen(parent(scene, part)):
        scene.hold(quick, full)


def _freeze_child(part: Part, quick: float, full: float, scene: Scene) -> None:
    with frozen(children(scene, part)[0]):
        scene.hold(quick, full)


def _freeze_family(part: Part, quick: float, full: float, scene: Scene) -> None:
    with frozen(*family(scene, part)):
        scene.hold(quick, full)


def _freeze_edge(scene: Scene) -> None:
    """Freeze it for longer than the providers wait."""
    with scene.edge_silenced(), frozen(*children(scene, EDGE)):
        scene.hold(3, 12)


def _kill_all(scene: Scene) -> None:
    """Kill everything at one moment, as when the power goes."""
    send(SIGKILL, *[pid for part in (EDGE, WORKERS, BEAT, REDIS, POSTGRES) for pid in family(scene, part)])


def _run_second_worker(scene: Scene) -> None:
    """Run a worker of another make beside the others: of both providers, with other concurrency; end it in mid-work."""
    line = command("--data", str(scene.kvitto.data), "worker", "--concurrency", "3")
    with subprocess.Popen(
        line, env=bare_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as second:
        scene.hold(3.5, 8)
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
    Fault("two makes of worker at once", _run_second_worker),
]
