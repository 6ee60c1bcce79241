"""Fail-over of Redis: the primary dies, hangs or is demoted, and a sentinel promotes its replica."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.process_control import frozen
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.redis_server import RedisServer
from tests.support.sentinel import PRIMARY_NAME, WatchedPair, watched_pair
from tests.support.servers import eventually


@contextmanager
def watched_kvitto(folder: Path) -> Iterator[tuple[Running, WatchedPair]]:
    """Run a Kvitto that finds its Redis by a sentinel, and whose appends a replica must confirm."""
    with (
        watched_pair(folder) as pair,
        running(folder / "data", SECRETS | pair.environment | {"INBOX_REPLICAS": "1"}) as kvitto,
    ):
        yield kvitto, pair


def _fail_over(lose: Callable[[FaultContext, WatchedPair], None], context: FaultContext) -> None:
    """Let the replica be promoted; go on without a replica for a while, and wait until there is one again."""
    pair = context.servers
    assert isinstance(pair, WatchedPair)
    _, replica = pair.in_order()
    lose(context, pair)
    assert pair.in_order()[0] is replica, "the replica was not promoted"
    pair.await_whole()


def _kill(context: FaultContext, pair: WatchedPair) -> None:
    primary, replica = pair.in_order()
    primary.kill()
    pair.await_promoted(replica)
    context.hold(2, 8)
    primary.start()  # as a primary, until the sentinel demotes it


def _kill_while_replica_lacks_entries(context: FaultContext, pair: WatchedPair) -> None:
    """Cut the replica off first: what is appended from then on dies with the primary, and is in the overflow."""
    primary, replica = pair.in_order()
    with ExitStack() as cut_off:
        with context.load.traffic.paused():
            cut_off.enter_context(frozen(replica.pid))
            primary.client.client_kill_filter(_type="replica")  # what it has been sent is all that it gets
            confirmed = _appended(primary)
        eventually(lambda: _appended(primary) > confirmed, "an append that the replica lacks")
        context.hold(1, 5)
        primary.kill()
    pair.await_promoted(replica)
    context.hold(2, 8)
    primary.start()


def _freeze(context: FaultContext, pair: WatchedPair) -> None:
    """Freeze it for longer than a fail-over takes: then it takes writes, until the sentinel demotes it."""
    primary, replica = pair.in_order()
    with frozen(primary.pid):
        pair.await_promoted(replica)
        context.hold(2, 8)


def _demote(context: FaultContext, pair: WatchedPair) -> None:
    """Have both change places, as before maintenance."""
    for _ in context.repeat(quick=1, full=3, every=1):
        _, replica = pair.in_order()
        pair.sentinel.sentinel_failover(PRIMARY_NAME)
        pair.await_promoted(replica)
        pair.await_whole()


def _appended(server: RedisServer) -> int:
    """Return how many entries were ever appended to a server's inbox."""
    appended: Any = server.client.hget("inbox:kompar:state", "appended")
    return int(appended or 0)


WATCHED = [
    Fault("redis primary killed, replica promoted", partial(_fail_over, _kill)),
    Fault("redis primary killed, replica lacked entries", partial(_fail_over, _kill_while_replica_lacks_entries)),
    Fault("redis primary frozen, replica promoted", partial(_fail_over, _freeze)),
    Fault("redis primary demoted", partial(_fail_over, _demote)),
]
