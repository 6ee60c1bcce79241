"""Redis: paused, cut off, full, out of disk, robbed of what it holds, its clock put back."""

import shutil
import time
from pathlib import Path
from signal import SIGKILL

from redis import Redis
from redis.exceptions import RedisError

from tests import process_tree
from tests.faults.fault_context import Fault, Scene, audit
from tests.faults.process_control import REDIS, let_no_file_grow, parent, send
from tests.kvitto_process import Running
from tests.servers import eventually

_INBOXES = ("inbox:kompar", "inbox:solaris")
_QUEUES = ("kompar", "solaris")
_HOUR_MS = 3_600_000


def _redis(scene: Scene) -> Redis:
    return Redis.from_url(scene.kvitto.redis, socket_timeout=None)  # a pause is waited for to its end


def _pause(scene: Scene) -> None:
    """Have every command wait for longer than any client does."""
    with _redis(scene) as client:
        client.execute_command("CLIENT", "PAUSE", 12_000 if scene.full else 3_000, "ALL")
        client.ping()  # answered when it is over


def _kill_connections(scene: Scene) -> None:
    with _redis(scene) as client:
        for _ in scene.again(quick=10, full=30, every=0.2):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _fill(scene: Scene) -> None:
    """Leave no room: appends and wake-ups are refused."""
    with _redis(scene) as client:
        client.config_set("maxmemory", 1)
        try:
            scene.hold(2.5, 8)
        finally:
            client.config_set("maxmemory", 0)


def _fill_disk(scene: Scene) -> None:
    """Let its file grow no further: under fsync always it ends itself, and finds the disk full when it is back."""
    pids = set()
    until = time.monotonic() + (10 if scene.full else 3)
    while time.monotonic() < until:
        for pid in process_tree.named(scene.kvitto.process.pid, *REDIS):
            if pid not in pids:
                pids.add(pid)
                let_no_file_grow(pid, _largest(scene.kvitto.data / "valkey" / "appendonlydir") + 10_000)
        time.sleep(0.01)
    send(SIGKILL, parent(scene, REDIS))  # the limit ends with the process
    assert len(pids) > 1, "it never noticed that its disk was full"


def _largest(folder: Path) -> int:
    return max(file.stat().st_size for file in folder.iterdir())


def _rewrite(scene: Scene) -> None:
    """Have it write its file anew under load."""
    with _redis(scene) as client:
        for _ in scene.again(quick=2, full=6, every=1):
            client.execute_command("BGREWRITEAOF")


def _lose_wake_ups(scene: Scene) -> None:
    with _redis(scene) as client:
        for _ in scene.again(quick=20, full=80, every=0.1):
            client.delete(*_QUEUES)


def _destroy_groups(scene: Scene) -> None:
    """Take the note away of what was claimed by whom."""
    with _redis(scene) as client:
        for _ in scene.again(quick=2, full=6, every=1):
            for inbox in _INBOXES:
                client.xgroup_destroy(inbox, "workers")


def _put_clock_back(scene: Scene) -> None:
    """Bring the streams to where they are when the server's clock went back an hour: their last ids lie ahead of it."""
    with _redis(scene) as client:
        for inbox in _INBOXES:
            client.execute_command("XSETID", inbox, f"{int(time.time() * 1000) + _HOUR_MS}-0")


def _empty_when_settled(scene: Scene) -> None:
    """Start it again with nothing in it, when nothing is in flight: that loses nothing."""
    with scene.load.traffic.silence():
        eventually(lambda: all(account["in_flight"] == 0 for account in audit(scene.kvitto)[1]), "all settled", 60)
        empty(scene.kvitto)


def empty(kvitto: Running) -> None:
    """Have the server begin again with nothing."""
    shutil.rmtree(kvitto.data / "valkey" / "appendonlydir")
    process_tree.kill(*process_tree.named(kvitto.process.pid, *REDIS))
    eventually(lambda: _answers(kvitto.redis), "redis is back, empty")


def _answers(url: str) -> bool:
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
    Fault("redis emptied, nothing in flight", _empty_when_settled),
    # Last of all: from then on times of receipt lie ahead of the clock.
    Fault("redis clock put back an hour", _put_clock_back),
]
