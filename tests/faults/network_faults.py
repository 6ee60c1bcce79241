"""Connections cut in the midst: provider to edge, edge to Redis, worker to Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from tests import servers
from tests.faults.fault_context import Fault, Scene
from tests.faults.proxy import Hook, Proxy, Wires
from tests.kvitto_process import SECRETS, Running, running


@contextmanager
def wired(folder: Path) -> Iterator[tuple[Running, Wires]]:
    """Run a Kvitto whose connections to Redis and Postgres can be cut."""
    with servers.valkey(folder) as redis, servers.postgres(folder) as postgres:
        wires = Wires(Proxy(redis, b"XADD"), Proxy(postgres, b"COMMIT"))
        addresses = {"REDIS_URL": wires.redis.url, "CELERY_BROKER_URL": redis, "DATABASE_URL": wires.postgres.url}
        with running(folder / "data", SECRETS | addresses) as kvitto:
            yield kvitto, wires
        wires.redis.close()
        wires.postgres.close()


def _every(number: int) -> Hook:
    """Return a hook that says yes every so often."""
    calls = count(1)
    return lambda: next(calls) % number == 0


def _hang_up(scene: Scene) -> None:
    """Have providers go away after sending, before the answer comes."""
    scene.load.traffic.hang_ups = 0.2
    scene.hold(2.5, 8)
    scene.load.traffic.hang_ups = 0.0


def _cut_providers(which: str, scene: Scene) -> None:
    proxy = Proxy(scene.load.traffic.address, b"POST")
    setattr(proxy, which, _every(7))
    with scene.load.traffic.through(proxy.url):
        scene.hold(2.5, 8)
    proxy.close()
    assert proxy.cuts, "nothing was cut"


FAULTS = [
    Fault("providers hang up", _hang_up),
    Fault("requests cut in the middle", partial(_cut_providers, "on_request")),
    Fault("answers cut off", partial(_cut_providers, "on_reply")),
]


def _cut(server: str, which: str, number: int, scene: Scene) -> None:
    wire: Proxy = getattr(scene.wires, server)
    before = wire.cuts
    setattr(wire, which, _every(number))
    scene.hold(2.5, 8)
    setattr(wire, which, None)
    assert wire.cuts > before, "nothing was cut"


# For a Kvitto that runs through wires.
WIRED = [
    Fault("appends cut in the middle", partial(_cut, "redis", "on_request", 20)),
    Fault("replies to appends cut off", partial(_cut, "redis", "on_reply", 20)),
    Fault("commits cut in the middle", partial(_cut, "postgres", "on_request", 3)),
    Fault("replies to commits cut off", partial(_cut, "postgres", "on_reply", 3)),
]
