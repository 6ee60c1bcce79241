"""The losses that nothing can prevent: a Redis that loses entries and goes on. The audit must report every one."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from redis import Redis

from tests.chaos.fault_context import audit
from tests.chaos.load import Load
from tests.chaos.process_control import REDIS, frozen
from tests.chaos.redis_faults import answers, empty
from tests.chaos.scenarios import application
from tests.support import process_tree
from tests.support.kvitto_process import Running, running
from tests.support.redis_server import redis_server
from tests.support.servers import eventually

_STREAM, _STATE = "inbox:kompar", "inbox:kompar:state"
# How many wait before a loss, about how many are lost, and how many arrive afterwards: enough to fill the gap.
# A delivery whose append takes too long waits in Postgres instead, and maybe in Redis too: what is lost is counted.
_BEFORE, ENTRIES, _AFTER = 10, 50, 70
_HOUR_MS = 3_600_000
Deliver = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Loss:
    """A way to lose entries that wait. `inflict` delivers some, loses some if it `loses` any, and returns how many."""

    name: str
    inflict: Callable[[Running, Deliver], int]
    loses: bool = True


@dataclass(frozen=True, slots=True)
class ReportedLoss:
    """How many entries were lost, how many the audit reports missing, and its exit status.

    error: why there is no report.
    """

    name: str
    lost: int = 0
    missing: int = 0
    status: int = 0
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the audit reports every entry that was lost, and none else."""
        return not self.error and (self.missing, self.status) == (self.lost, 1 if self.lost else 0)


def _serve(kvitto: Running, folder: Path) -> None:
    """Kill the server; it starts again on a copy of another server's folder."""
    data = kvitto.data / "valkey" / "appendonlydir"
    shutil.rmtree(data)
    shutil.copytree(folder / "appendonlydir", data)
    shutil.chown(data, data.parent.stat().st_uid, data.parent.stat().st_gid)
    process_tree.kill(*process_tree.named(kvitto.process.pid, *REDIS))
    eventually(lambda: answers(kvitto.redis), "redis is back, on another folder")


def _waiting(kvitto: Running) -> int:
    with Redis.from_url(kvitto.redis) as client:
        return int(client.xlen(_STREAM))


def _emptied(kvitto: Running, deliver: Deliver) -> int:
    deliver(ENTRIES)
    lost = _waiting(kvitto)
    empty(kvitto)
    return lost


def _copy_restored(kvitto: Running, deliver: Deliver) -> int:
    deliver(_BEFORE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(kvitto.data / "valkey" / "appendonlydir", Path(folder) / "appendonlydir")
        copied = _waiting(kvitto)
        deliver(ENTRIES)
        lost = _waiting(kvitto) - copied
        _serve(kvitto, Path(folder))
    return lost


def _promoted(is_cut_off: bool) -> Callable[[Running, Deliver], int]:
    """Return a fail-over to a replica that lacks the last entries, or has them all."""

    def inflict(kvitto: Running, deliver: Deliver) -> int:
        with tempfile.TemporaryDirectory() as name, redis_server(Path(name) / "replica") as replica:
            deliver(_BEFORE)
            with Redis.from_url(kvitto.redis) as primary:
                replica.follow(primary)
                if is_cut_off:
                    replica.promote()
                copied = _waiting(kvitto)
                deliver(ENTRIES)
                lost = _waiting(kvitto) - copied
                if not is_cut_off:
                    replica.await_caught_up(primary)
                    replica.promote()
            replica.kill()
            _serve(kvitto, Path(name) / "replica")
        return lost if is_cut_off else 0

    return inflict


def _edited(edit: Callable[[Redis], int]) -> Callable[[Running, Deliver], int]:
    """Return an edit by another client while entries wait."""

    def inflict(kvitto: Running, deliver: Deliver) -> int:
        deliver(ENTRIES)
        with Redis.from_url(kvitto.redis) as client:
            return edit(client)

    return inflict


def _flush(client: Redis) -> int:
    waiting: Any = client.xlen(_STREAM)
    client.flushdb()
    return int(waiting)


def _delete_stream(client: Redis) -> int:
    waiting: Any = client.xlen(_STREAM)
    client.delete(_STREAM)
    return int(waiting)


def _delete_state(client: Redis) -> int:
    client.delete(_STATE)
    return 0


def _delete_entries(client: Redis) -> int:
    entries: Any = client.xrange(_STREAM, count=7)
    deleted: Any = client.xdel(_STREAM, *(stream_id for stream_id, _ in entries))
    return int(deleted)


def _trim(client: Redis) -> int:
    trimmed: Any = client.xtrim(_STREAM, maxlen=3, approximate=False)
    return int(trimmed)


def _set_ids(client: Redis) -> int:
    ahead = f"{int(client.time()[0]) * 1000 + _HOUR_MS}-0"
    entries = client.xlen(_STREAM)  # the server refuses fewer
    client.execute_command("XSETID", _STREAM, ahead, "ENTRIESADDED", entries)  # type: ignore[no-untyped-call]
    return 0


def _trim_and_set_ids(client: Redis) -> int:
    return _trim(client) + _set_ids(client)


LOSSES = [
    Loss("redis emptied", _emptied),
    Loss("a copy of redis restored", _copy_restored),
    Loss("a replica promoted that lacks entries", _promoted(is_cut_off=True)),
    Loss("a replica promoted that has all entries", _promoted(is_cut_off=False), loses=False),
    Loss("database flushed (FLUSHDB)", _edited(_flush)),
    Loss("stream deleted", _edited(_delete_stream)),
    Loss("count deleted", _edited(_delete_state), loses=False),
    Loss("entries deleted (XDEL)", _edited(_delete_entries)),
    Loss("stream trimmed (XTRIM)", _edited(_trim)),
    Loss("the stream's ids and count set (XSETID)", _edited(_set_ids), loses=False),
    Loss("stream trimmed, its ids and count set (XSETID)", _edited(_trim_and_set_ids)),
]


def reported_losses(folder: Path) -> Iterator[ReportedLoss]:
    """Inflict every loss on one Kvitto; yield what the audit reports of each, which is then accepted."""
    with running(folder / "data") as kvitto:
        for loss in LOSSES:
            try:
                yield reported_loss(kvitto, loss)
            except Exception as error:  # the run goes on, and its table is written
                yield ReportedLoss(loss.name, error=f"{type(error).__name__}: {error}")


def reported_loss(kvitto: Running, loss: Loss) -> ReportedLoss:
    """Lose entries while no worker runs, let more arrive than were lost, and wait until nothing is in flight."""
    eventually(kvitto.has_all_workers, "all workers", 60)
    load = Load(kvitto.ingest, loss.name, loss.name, rate=1)
    entities = count()

    def deliver(number: int) -> None:
        left = number
        while left > 0:
            entity = next(entities)
            receipt = load.extra.deliver(application(Random(entity), f"{loss.name}/{entity}")).receipt
            overflowed = kvitto.rows("SELECT FROM kvitto.overflow WHERE receipt = %s", receipt) if left == 1 else []
            left -= not overflowed  # Redis confirms the last, and so all before it
        kvitto.await_reported("kompar")

    with frozen(*kvitto.workers()):
        lost = loss.inflict(kvitto, deliver)
        assert lost or not loss.loses, "nothing was lost"
        deliver(_AFTER)
    load.close()
    last: list[tuple[int, list[dict[str, Any]]]] = []

    def is_drained() -> bool:
        last[:] = [audit(kvitto)]
        rows = last[0][1]
        return bool(rows) and all(row["in_flight"] == 0 for row in rows)

    eventually(is_drained, "nothing in flight", 150)
    status, rows = last[0]
    for epoch in (each for row in rows for each in row["losses"] if each["missing"]):
        kvitto.run("audit", "--accept-loss", epoch["epoch"], "--reason", loss.name)
    return ReportedLoss(loss.name, lost, sum(row["missing"] for row in rows), status)
