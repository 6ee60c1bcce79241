"""Redis: paused, cut off, full, out of disk, emptied, its clock set back."""

import shutil
import time
from pathlib import Path
from signal import SIGKILL

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.fault_context import Fault, FaultContext, audit
from tests.chaos.process_control import REDIS, let_no_file_grow, parent, send
from tests.support import process_tree
from tests.support.kvitto_process import Running
from tests.support.servers import eventually

_INBOXES = ("inbox:kompar", "inbox:solaris")
_QUEUES = ("kompar", "solaris")
_HOUR_MS = 3_600_000


def _redis(context: FaultContext) -> Redis:
    return Redis.from_url(context.kvitto.redis, socket_timeout=None)  # wait for the end of a pause


def _pause(context: FaultContext) -> None:
    """Delay every command for longer than any client waits."""
    with _redis(context) as client:
        client.execute_command("CLIENT", "PAUSE", 12_000 if context.full else 3_000, "ALL")
        client.ping()  # answered when the pause is over


def _kill_connections(context: FaultContext) -> None:
    with _redis(context) as client:
        for _ in context.repeat(quick=10, full=30, every=0.2):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _fill(context: FaultContext) -> None:
    """Leave no memory: appends and wake-ups are refused."""
    with _redis(context) as client:
        client.config_set("maxmemory", 1)
        try:
            context.hold(2.5, 8)
        finally:
            client.config_set("maxmemory", 0)


def _fill_disk(context: FaultContext) -> None:
    """Let its file grow no further: with fsync always it exits, and finds the disk full after its restart."""
    pids = set()
    until = time.monotonic() + (10 if context.full else 3)
    while time.monotonic() < until:
        for pid in process_tree.named(context.kvitto.process.pid, *REDIS):
            if pid not in pids:
                pids.add(pid)
                let_no_file_grow(pid, _largest(context.kvitto.data / "valkey" / "appendonlydir") + 10_000)
        time.sleep(0.01)
    send(SIGKILL, parent(context, REDIS))  # the limit ends with the process
    assert len(pids) > 1, "it never noticed the full disk"


def _largest(folder: Path) -> int:
    return max(file.stat().st_size for file in folder.iterdir())


def _rewrite(context: FaultContext) -> None:
    """Make it rewrite its file under load."""
    with _redis(context) as client:
        for _ in context.repeat(quick=2, full=6, every=1):
            client.execute_command("BGREWRITEAOF")


def _lose_wake_ups(context: FaultContext) -> None:
    with _redis(context) as client:
        for _ in context.repeat(quick=20, full=80, every=0.1):
            client.delete(*_QUEUES)


def _destroy_groups(context: FaultContext) -> None:
    """Delete the record of which consumer claimed what."""
    with _redis(context) as client:
        for _ in context.repeat(quick=2, full=6, every=1):
            for inbox in _INBOXES:
                client.xgroup_destroy(inbox, "workers")


def _set_clock_back(context: FaultContext) -> None:
    """Put the last ids of the streams an hour ahead, as when the server's clock is set back an hour."""
    with _redis(context) as client:
        for inbox in _INBOXES:
            client.execute_command("XSETID", inbox, f"{int(time.time() * 1000) + _HOUR_MS}-0")


def _empty_when_drained(context: FaultContext) -> None:
    """Restart it without its data while nothing is in flight, which loses nothing."""
    with context.load.traffic.paused():
        eventually(lambda: all(row["in_flight"] == 0 for row in audit(context.kvitto)[1]), "nothing in flight", 60)
        empty(context.kvitto)


def empty(kvitto: Running) -> None:
    """Restart the server without its data."""
    shutil.rmtree(kvitto.data / "valkey" / "appendonlydir")
    process_tree.kill(*process_tree.named(kvitto.process.pid, *REDIS))
    eventually(lambda: answers(kvitto.redis), "redis is back, empty")


def answers(url: str) -> bool:
    """Return whether a Redis answers."""
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except RedisError:
        return False


FAULTS = [
    Fault("redis paused", _pause),
    Fault("redis connections killed", _kill_connections),
    Fault("redis full", _fill),
    Fault("redis disk full", _fill_disk),
    Fault("redis rewrites its file", _rewrite),
    Fault("wake-ups lost", _lose_wake_ups),
    Fault("consumer groups destroyed", _destroy_groups),
    Fault("redis emptied, nothing in flight", _empty_when_drained),
    # Must be last: from then on times of receipt are ahead of the clock.
    Fault("redis clock set back an hour", _set_clock_back),
]
