"""Ageing: `python -m benchmarks.ageing [ROWS]` measures what months of receipts cost a batch, an audit and a removal.

It stands alone, beside the benchmarks of the whole: an own Postgres, filled by SQL with ROWS receipts over 36 months,
and batches stored by the ledger as a worker stores them.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.high_water_mark import new_epoch
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.storage import periods
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from app.storage.retention import Retention
from tests.support import databases, servers

_MONTHS = 36
_BATCH = 500
_BATCHES = 30
_KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))
_EPOCH = new_epoch()
_NUMBERS = count(1)
# Receipts are spread evenly: (first receipt of an instant) with a random end.
_FILL = """
    INSERT INTO receipts
        (receipt, provider, topic, event_type, entity_id, outcome, received_at, processed_at, epoch, seq)
    SELECT (left(first_receipt(at)::text, 13) || substr(md5(n::text), 1, 20))::uuid,
           'kompar', 'decisions', 'decisions', md5(n::text), 'stored', at, at, %(epoch)s, n
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
         LATERAL (SELECT date_trunc('milliseconds', now() - interval '1 hour'
                         - (%(span)s::interval * (1 - n / %(total)s::float))) AS at) AS received
"""
_BODIES = """
    INSERT INTO bodies SELECT receipt, '{}', decode(repeat(md5(receipt::text), 32), 'hex') FROM receipts
    WHERE receipt >= first_receipt(%(month)s) AND receipt < first_receipt(%(month)s::timestamptz + interval '1 month')
"""


def main(rows: int) -> None:
    """Measure, and print a line per figure."""
    with tempfile.TemporaryDirectory() as folder, servers.postgres(Path(folder)) as server:
        Path(folder).chmod(0o755)
        databases.prepare(server)
        whole, months = databases.create(server), databases.create(server)
        with connect(whole, "bench") as one, connect(months, "bench") as many:
            _prepare(one, rows, in_months=False)
            _prepare(many, rows, in_months=True)
            _drain(whole, months)
            _audit(many, months, rows)
            _remove(many, months)


def _say(figure: str, value: str) -> None:
    print(f"{figure:<60} {value}", flush=True)


def _prepare(connection: Connection, rows: int, in_months: bool) -> None:
    if in_months:
        month = "(date_trunc('month', now()) - make_interval(months => n))::date"
        connection.execute(f"SELECT create_month({month}) FROM generate_series(1, {_MONTHS}) AS n".encode())
    else:
        for (name,) in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN"
            " ('receipts'::regclass, 'bodies'::regclass, 'answers'::regclass) AND inhrelid::regclass::text !~ 'other'"
        ).fetchall():
            connection.execute(f"DROP TABLE {name}".encode())
    step = 200_000
    connection.execute("SET synchronous_commit = off; SET statement_timeout = 0")
    for first in range(1, rows + 1, step):
        values = {"first": first, "last": min(rows, first + step - 1), "total": rows, "epoch": _EPOCH}
        connection.execute(_FILL, values | {"span": f"{_MONTHS * 30} days"})
    connection.execute("VACUUM (ANALYZE) receipts")


def _batch(entities: int = 10**9) -> list[ProcessedDelivery]:
    """Return a batch of new decisions."""
    now = int(time.time() * 1000)
    found = []
    for number in (next(_NUMBERS) for _ in range(_BATCH)):
        content = {"application_id": f"bench-{number % entities}", "accepted": True, "phone": "070", "email": "a@b.se"}
        position = StreamId(now, number)
        delivery = Delivery(uuid7(), "kompar", "decisions", {}, b"x" * 1000)
        received = ReceivedDelivery(delivery, position.received_at, _EPOCH, position)
        found.append(ProcessedDelivery(received, _KOMPAR.validate(Payload("decisions", {}, content))))
    return found


def _milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _drain(whole: str, months: str) -> None:
    with closing(Ledger(whole, "kompar")) as one, closing(Ledger(months, "kompar")) as many:
        times: dict[Ledger, list[float]] = {one: [], many: []}
        for _ in range(_BATCHES):
            for ledger, of_ledger in times.items():
                batch = _batch()
                of_ledger.append(_milliseconds(partial(ledger.store, batch)))
        without, within = median(times[one]), median(times[many])
        _say(f"store {_BATCH}, one partition", f"{without:.1f} ms")
        _say(f"store {_BATCH}, {_MONTHS} months", f"{within:.1f} ms, rate {without / within:.2f} of one partition")


def _audit(connection: Connection, dsn: str, rows: int) -> None:
    def count_all() -> Any:
        return connection.execute("SELECT * FROM entry_counts('kompar')").fetchall()

    _say(f"count {rows:,} receipts, no period", f"{_milliseconds(count_all):.0f} ms")
    with closing(Ledger(dsn, "kompar")) as ledger:
        _say("close the periods", f"{_milliseconds(ledger.close_periods):.0f} ms")
    _say("count them all", f"{_milliseconds(lambda: periods.recount(connection, 'kompar', everything=True)):.0f} ms")
    _say(f"count {rows:,} receipts, in periods", f"{median(_milliseconds(count_all) for _ in range(5)):.1f} ms")
    counts = "SELECT * FROM reporting.delivery_counts"
    shown = median(_milliseconds(lambda: connection.execute(counts).fetchall()) for _ in range(5))
    _say("reporting.delivery_counts", f"{shown:.1f} ms")


def _remove(connection: Connection, dsn: str) -> None:
    """Remove half of the months while batches of one delivery are stored, and print the longest of these."""
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    connection.execute(_BODIES, {"month": month.replace(year=month.year - 3)})
    longest, is_over = 0.0, threading.Event()

    def store() -> None:
        nonlocal longest
        with closing(Ledger(dsn, "kompar")) as ledger:
            ledger.store(_batch()[:1])
            while not is_over.is_set():
                batch = _batch()[:20]
                longest = max(longest, _milliseconds(partial(ledger.store, batch)))

    thread = threading.Thread(target=store)
    thread.start()
    time.sleep(2)
    alone, longest = longest, 0.0
    with closing(Ledger(dsn, "kompar")) as ledger:
        limits = {"kompar": {"receipts": 18, "contents": 18}}
        removed: dict[str, int] = {}

        def apply() -> None:
            for step in Retention(ledger, "kompar", limits, seconds=600).apply():
                removed[step.what] = step.rows

        took = _milliseconds(apply)
    is_over.set()
    thread.join()
    _say(f"remove {len(removed)} months, {max(removed.values()):,} receipts at most", f"{took / 1000:.1f} s in all")
    _say("longest store of 20 before and during it", f"{alone:.0f} ms, {longest:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 1_000_000)
