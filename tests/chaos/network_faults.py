"""Connections cut in the middle: provider to edge, edge to Redis, worker to Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.proxy import Hook, Proxies, Proxy
from tests.support import servers
from tests.support.kvitto_process import SECRETS, Running, running


@contextmanager
def proxied_kvitto(folder: Path) -> Iterator[tuple[Running, Proxies]]:
    """Run a Kvitto whose connections to Redis and Postgres can be cut."""
    with servers.valkey(folder) as redis, servers.postgres(folder) as postgres:
        proxies = Proxies(Proxy(redis, b"XADD"), Proxy(postgres, b"COMMIT"))
        addresses = {"REDIS_URL": proxies.redis.url, "CELERY_BROKER_URL": redis, "DATABASE_URL": proxies.postgres.url}
        with running(folder / "data", SECRETS | addresses) as kvitto:
            yield kvitto, proxies
        proxies.redis.close()
        proxies.postgres.close()


def _every(number: int) -> Hook:
    """Return a hook that is true at every so many calls."""
    calls = count(1)
    return lambda: next(calls) % number == 0


def _hang_up(context: FaultContext) -> None:
    """Make providers leave after sending, before the answer."""
    context.load.traffic.hang_ups = 0.2
    context.hold(2.5, 8)
    context.load.traffic.hang_ups = 0.0


def _cut_providers(direction: str, context: FaultContext) -> None:
    proxy = Proxy(context.load.traffic.address, b"POST")
    setattr(proxy, direction, _every(7))
    with context.load.traffic.through(proxy.url):
        context.hold(2.5, 8)
    proxy.close()
    assert proxy.cuts, "nothing was cut"


FAULTS = [
    Fault("providers hang up", _hang_up),
    Fault("requests cut in the middle", partial(_cut_providers, "on_request")),
    Fault("answers cut off", partial(_cut_providers, "on_reply")),
]


def _cut(server: str, direction: str, number: int, context: FaultContext) -> None:
    assert isinstance(context.servers, Proxies)
    proxy: Proxy = getattr(context.servers, server)
    before = proxy.cuts
    setattr(proxy, direction, _every(number))
    context.hold(2.5, 8)
    setattr(proxy, direction, None)
    assert proxy.cuts > before, "nothing was cut"


# For a Kvitto that reaches its servers through proxies.
PROXIED = [
    Fault("appends cut in the middle", partial(_cut, "redis", "on_request", 20)),
    Fault("replies to appends cut off", partial(_cut, "redis", "on_reply", 20)),
    Fault("commits cut in the middle", partial(_cut, "postgres", "on_request", 3)),
    Fault("replies to commits cut off", partial(_cut, "postgres", "on_reply", 3)),
]
