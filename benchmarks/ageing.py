"""Ageing: what months of receipts cost a batch, an audit and a removal, in a ledger that is filled by SQL.

Three ledgers of an own Postgres are compared in turn: one over 36 months, one as full without partitions, and one over
36 months with a hundredth. Batches are stored by the ledger as a worker stores them.
"""

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.storage import periods
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from app.storage.retention import Retention
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume
from tests.support import databases, servers
from tests.support.ageing import EPOCH, fill

UNPARTITIONED, FEW = "one partition", "a hundredth of the events"
STORE, COUNT = "store a batch over 36 months", "count the entries of an audit over 36 months"
REMOVE = "remove a fifth of the events, a month"
# Of a batch while a month is removed, by the type of the lock as Postgres calls it.
WAITS = {
    "relation": "longest wait for a table while a month goes",
    "advisory": "longest wait for a turn while a month goes",
}
_MONTHS = 36
_BATCH = 500
_BATCHES = 30
_COUNTS = 15
# While months are removed: small batches, so that most of the time one waits or is stored.
_SMALL = 20
_LOOK_SECONDS = 0.005
_KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))
_NUMBERS = count(1)


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as folder, servers.postgres(Path(folder)) as server:
        Path(folder).chmod(0o755)
        databases.prepare(server)
        dsns = {}
        for name, events in {KVITTO: volume.aged, UNPARTITIONED: volume.aged, FEW: volume.aged // 100}.items():
            say(f"filling a ledger: {events:,} events, {name}")
            dsns[name] = databases.create(server)
            _fill(dsns[name], events, in_months=name != UNPARTITIONED)
        say(COUNT)
        _count({name: dsns[name] for name in (KVITTO, FEW)}, record)
        say(STORE)
        _store(dsns, record)
        say(REMOVE)
        _remove(dsns[KVITTO], record)


def _fill(dsn: str, events: int, in_months: bool) -> None:
    with connect(dsn, "bench") as connection, closing(Ledger(dsn, "kompar")) as ledger:
        connection.execute("SET synchronous_commit = off; SET statement_timeout = 0")
        if not in_months:
            query = """
                SELECT inhrelid::regclass::text AS name FROM pg_inherits
                WHERE inhparent = ANY('{receipts,bodies,answers}'::regclass[]) AND inhrelid::regclass::text !~ 'other'
            """
            for (name,) in connection.execute(query).fetchall():
                connection.execute(f"DROP TABLE {name}".encode())
        fill(connection, events, events // 5, _MONTHS, in_months)
        connection.execute("VACUUM (ANALYZE)")
        with ledger.connected() as own:
            own.execute("SET statement_timeout = 0")
        ledger.close_periods()
        periods.recount(connection, "kompar", everything=True)


def _batch(size: int) -> list[ProcessedDelivery]:
    """Return a batch of new decisions."""
    now = int(time.time() * 1000)
    found = []
    for number in (next(_NUMBERS) for _ in range(size)):
        content = {"application_id": f"bench-{number}", "accepted": True, "phone": "070", "email": "a@b.se"}
        position = StreamId(now, number)
        delivery = Delivery(uuid7(), "kompar", "decisions", {}, b"x" * 1000)
        received = ReceivedDelivery(delivery, position.received_at, EPOCH, position)
        found.append(ProcessedDelivery(received, _KOMPAR.validate(Payload("decisions", {}, content))))
    return found


def _store(dsns: dict[str, str], record: Record) -> None:
    """Store batches in each ledger in turn; the first is to warm up."""
    ledgers = {name: Ledger(dsn, "kompar") for name, dsn in dsns.items()}
    for number in range(_BATCHES + 1):
        for name, ledger in ledgers.items():
            batch = _batch(_BATCH)
            started = time.perf_counter()
            ledger.store(batch)
            if number:
                record.add(STORE, name, _BATCH / (time.perf_counter() - started), "/s")
    for ledger in ledgers.values():
        ledger.close()


def _count(dsns: dict[str, str], record: Record) -> None:
    """Count in each ledger in turn, as an audit does: what is new is the same in both.

    Processor time of the server is compared, because a busy machine shifts the times of both.
    """
    for number in range(_COUNTS + 1):
        for name, dsn in dsns.items():
            with connect(dsn, "bench") as connection:
                connection.execute("SET max_parallel_workers_per_gather = 0")
                spent = [_processor_ms(connection)]
                for _ in range(2):  # the first plans, and reads the catalogue
                    connection.execute("SELECT * FROM entry_counts('kompar')").fetchall()
                    spent.append(_processor_ms(connection))
            if number:
                record.add(COUNT, name, spent[2] - spent[1], "ms of CPU")


def _processor_ms(connection: Connection) -> float:
    """Return how much processor time the server's process of a session has taken."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def _remove(dsn: str, record: Record) -> None:
    """Remove the oldest month, a fifth of all events, while small batches are stored."""
    with _storing(dsn) as process, _watched(dsn, process) as waits:
        limits = {"kompar": {"receipts": _MONTHS - 1, "contents": _MONTHS - 1}}
        with closing(Ledger(dsn, "kompar")) as own:
            started = time.perf_counter()
            for step in Retention(own, "kompar", limits, seconds=3600).apply():
                if step.what not in limits["kompar"]:
                    record.add(f"{REMOVE}: receipts and bodies", KVITTO, time.perf_counter() - started, "s")
            record.add(f"{REMOVE}: all of it", KVITTO, time.perf_counter() - started, "s")
    for lock, figure in WAITS.items():
        record.add(figure, KVITTO, waits[lock], "ms")


@contextmanager
def _storing(dsn: str) -> Iterator[int]:
    """Store small batches for the duration of a block; yield the server's process of their session."""
    is_over = threading.Event()
    with closing(Ledger(dsn, "kompar")) as ledger:
        with ledger.connected() as connection:
            process = connection.info.backend_pid

        def store() -> None:
            while not is_over.is_set():
                ledger.store(_batch(_SMALL))

        with _thread(store, is_over):
            yield process


@contextmanager
def _watched(dsn: str, process: int) -> Iterator[Mapping[str, float]]:
    """Look again and again for how long a process waits for locks; yield the longest wait by type, in milliseconds."""
    longest: dict[str, float] = defaultdict(float)
    is_over = threading.Event()
    query = """
        SELECT locktype, extract(epoch FROM clock_timestamp() - waitstart)::float * 1000 AS ms FROM pg_locks
        WHERE NOT granted AND pid = %s AND waitstart IS NOT NULL
    """

    def watch() -> None:
        with connect(dsn, "bench") as connection:
            while not is_over.wait(_LOOK_SECONDS):
                for row in connection.execute(query, [process]):
                    longest[row.locktype] = max(longest[row.locktype], row.ms)

    with _thread(watch, is_over):
        yield longest


@contextmanager
def _thread(work: Callable[[], Any], is_over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
