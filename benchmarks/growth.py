"""Growth: draining, recognising repetitions and reading the dashboards' views, over a ledger that is filled by SQL."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from app.storage import deliveries, operator_jobs, reports
from app.storage.connection import Connection, session
from app.storage.deliveries import Filter
from benchmarks import bodies
from benchmarks.drain import drained
from benchmarks.result_files import KVITTO
from benchmarks.runner import Bench
from benchmarks.statistics import Spread
from deploy.monitoring.dashboards import LOAN_PIPELINE
from tests.support.dashboards import filled

_FILLING = (Path(__file__).parent / "filling.sql").read_text()
_PORTION = 50_000
_READS = 5
_NEWEST = "SELECT * FROM reporting.kompar_applications ORDER BY last_received_at DESC LIMIT 100"
_VIEWS: dict[str, Callable[[Connection], Any]] = {
    "conservation": reports.delivery_counts,
    "freshness": reports.freshness,
    "throughput of an hour": reports.throughput,
    "deliveries of an hour": reports.minutes,
    "newest deliveries": lambda connection: deliveries.select(connection, Filter()),
    "newest dead letters": lambda connection: deliveries.select(connection, Filter(outcome="dead")),
    "deliveries with a reason": lambda connection: deliveries.select(connection, Filter(reason="wrong-key")),
    "dead letters by cause": operator_jobs.groups,
    "newest applications": lambda connection: reports.query(connection, _NEWEST),
    **{
        f"panel {panel.title}": partial(reports.query, statement=filled(panel.queries[0][0])) for panel in LOAN_PIPELINE
    },
}


def drain_figure(stored: int) -> str:
    """Return the name of the drain rate over so many events."""
    return f"drain over {stored:,} events"


def views_figure(stored: int) -> str:
    """Return the name of the time that views take over so many events."""
    return f"view over {stored:,} events"


def measure(bench: Bench) -> None:
    """Measure over every volume, from the least."""
    filled = 0
    for stored in bench.volume.stored:
        if stored > filled:
            bench.say(f"filling the ledger with {stored:,} events")
            fill(bench.setup.kvitto.database, filled, stored)
            filled = stored
        for _ in bench.pairs(drain_figure(stored)):
            first = bodies.next_seed()
            bench.record.add(drain_figure(stored), KVITTO, drained(bench, bench.setup.ours, drain_figure(stored)), "/s")
            _repeat(bench, stored, range(first, first + bench.volume.drained))
        for name, milliseconds in _read(bench.setup.kvitto.database):
            bench.record.add(views_figure(stored), name, milliseconds, "ms")


def _repeat(bench: Bench, stored: int, seeds: range) -> None:
    """Send the same again, encrypted again."""
    figure = f"repetitions over {stored:,} events"
    bench.record.add(figure, KVITTO, drained(bench, bench.setup.ours, figure, seeds), "/s")


def fill(dsn: str, filled: int, stored: int) -> None:
    """Add events until there are so many, and leave the tables as an idle hour would."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        month = "(date_trunc('month', now()) - make_interval(months => n))::date"
        connection.execute(f"SELECT kvitto.create_month({month}) FROM generate_series(1, 13) AS n".encode())
        for first in range(filled + 1, stored + 1, _PORTION):
            last = min(stored, first + _PORTION - 1)
            connection.execute(_FILLING, {"first": first, "last": last, "total": stored})
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _read(dsn: str) -> Iterator[tuple[str, float]]:
    """Yield each view with the median of the milliseconds it takes, as dashboards read it."""
    with session(dsn.replace("//kvitto@", "//kvitto_dashboard@"), "dashboard") as connection:
        for name, read in _VIEWS.items():
            yield name, Spread.of([_milliseconds(read, connection) for _ in range(_READS)]).median


def _milliseconds(read: Callable[[Connection], Any], connection: Connection) -> float:
    started = time.perf_counter()
    read(connection)
    return (time.perf_counter() - started) * 1000
