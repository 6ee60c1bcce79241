"""Retention: removes what is older than its limit, and keeps its counts.

Limits are whole months. A month of receipts, bodies and answers goes as partitions where every provider's limit has
passed; where another provider keeps the month, rows go in batches. Entities go as a whole, once their newest revision
is older than the limit. Everything can be interrupted at any point: the next run continues.
"""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable

from app.storage.connection import Connection, fetch_one
from app.storage.ledger import Ledger

# Provider → kind → months.
Limits = Mapping[str, Mapping[str, int]]
COLUMNS = ("provider", "kind", "months", "removes_before", "done_until")
# Rows of one transaction: a batch of deliveries that waits for one waits for milliseconds.
_BATCH = 1_000
# How long a statement waits for a table that deliveries pass, and they behind it. It is repeated after a pause.
_LOCK_MS = 60
_TRIES = 40
_FIRST = UUID(int=0)


class PostponedError(Exception):
    """Other statements kept a table busy, or the time for this run is over; the next run continues."""


@dataclass(frozen=True, slots=True)
class Removed:
    """How many rows a step removed, of which kind; of bodies that went as a partition, the rows were not counted."""

    provider: str
    what: str
    rows: int


def limits(connection: Connection, configured: Limits) -> list[dict[str, Any]]:
    """Return a row of COLUMNS for each limit; `removes_before` is a month's first instant in UTC."""
    query = """
        SELECT (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - make_interval(months => %s))
                   AT TIME ZONE 'UTC' AS removes_before,
               (SELECT done_until FROM retention_progress WHERE provider = %s AND kind = %s) AS done_until
    """
    return [
        {"provider": provider, "kind": kind, "months": months}
        | fetch_one(connection, query, [months, provider, kind])._asdict()
        for provider, of_provider in sorted(configured.items())
        for kind, months in sorted(of_provider.items())
    ]


def pending(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the limits with what a run would remove now: rows, and dead letters among them that wait for a replay."""
    of_receipts = """
        SELECT count(*) AS rows, count(*) FILTER (WHERE outcome = 'dead') AS dead_letters FROM receipts
        WHERE provider = %(provider)s AND receipt < first_receipt(%(removes_before)s)
    """
    of_bodies = """
        SELECT count(*) AS rows, count(*) FILTER (WHERE outcome = 'dead') AS dead_letters
        FROM receipts JOIN bodies USING (receipt)
        WHERE provider = %(provider)s AND receipt < first_receipt(%(removes_before)s)
    """
    of_contents = """
        SELECT count(*) AS rows, 0 AS dead_letters FROM events
        WHERE provider = %(provider)s AND received_at < %(removes_before)s AND NOT EXISTS (
            SELECT FROM events AS later
            WHERE later.provider = events.provider AND later.event_type = events.event_type
              AND later.entity_id = events.entity_id AND later.revision IS NOT NULL
              AND later.received_at >= %(removes_before)s
        )
    """
    queries = {"receipts": of_receipts, "bodies": of_bodies, "contents": of_contents}
    return [row | fetch_one(connection, queries[row["kind"]], row)._asdict() for row in rows]


class Retention:
    """Removes what is older than the limits of one provider, and the months that are over for all."""

    def __init__(self, ledger: Ledger, provider: str, configured: Limits, seconds: float = 10.0) -> None:
        """Use the provider's ledger, whose batches it runs between.

        A run begins nothing after so many seconds, and keeping the counts of one month may take as long: the two
        together have to end before a task's time limit.
        """
        self._ledger = ledger
        self._provider = provider
        self._configured = configured
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def apply(self) -> Iterator[Removed]:
        """Remove step by step; yield what each step removed.

        Raises:
            PostponedError: The rest has to wait for the next run.
        """
        with self._ledger.connected() as connection:
            rows = limits(connection, self._configured)
            self._archive(connection)
            yield from self._retire_months(connection, rows)
        steps = {"contents": self._remove_entities, "bodies": self._remove_bodies, "receipts": self._retire_receipts}
        for row in rows:
            if row["provider"] == self._provider and row["done_until"] != row["removes_before"]:
                for removed in steps[row["kind"]](row["removes_before"]):
                    yield Removed(self._provider, row["kind"], removed)
                    self._require_time()
                self._record_done(row)

    def _retire_months(self, connection: Connection, rows: list[dict[str, Any]]) -> Iterator[Removed]:
        """Drop months as a whole: those that only providers have whose limit has passed."""
        for month, tables in _months(connection).items():
            end = (month + timedelta(days=31)).replace(day=1)
            for kind in tables:
                past = [row["provider"] for row in rows if row["kind"] == kind and row["removes_before"].date() >= end]
                query = "SELECT retire_month(%s, %s, %s) AS done"
                if past and self._patiently(connection, query, [month, past, kind == "receipts"]):
                    yield Removed(", ".join(past), f"{kind} of {month:%Y-%m}", self._archive(connection))
                    break

    def _patiently(self, connection: Connection, query: Any, parameters: list[Any]) -> bool:
        """Run a statement that needs a table for itself, again and again until it gets it within _LOCK_MS."""
        for _ in range(_TRIES):
            self._require_time()
            try:
                with connection.transaction():
                    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_MS}ms'".encode())
                    return bool(fetch_one(connection, query, parameters).done)
            except LockNotAvailable:
                time.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - out of step with the batches
        raise PostponedError("the tables were busy")

    def _archive(self, connection: Connection) -> int:
        """Keep the counts of what was retired, by this run or by one that was interrupted; return its rows."""
        query = """
            SELECT EXISTS (SELECT FROM retired_receipts)
                OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'retired_receipts'::regclass) AS found
        """
        if not fetch_one(connection, query).found:
            return 0
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{self._seconds:.0f}s'".encode())
            return int(fetch_one(connection, "SELECT archive_retired() AS rows").rows)

    def _retire_receipts(self, before: datetime) -> Iterator[int]:
        rows = _BATCH
        while rows == _BATCH:
            with self._ledger.turn() as connection:
                query = "SELECT retire_receipts(%s, %s, %s) AS rows"
                rows = fetch_one(connection, query, [self._provider, before, _BATCH]).rows
            with self._ledger.connected() as connection:
                yield self._archive(connection)

    def _remove_bodies(self, before: datetime) -> Iterator[int]:
        behind: UUID | None = _FIRST
        while behind is not None:
            with self._ledger.turn() as connection:
                query = "SELECT * FROM remove_bodies(%s, %s, %s, %s)"
                behind, removed = fetch_one(connection, query, [self._provider, before, behind, _BATCH])
            yield removed

    def _remove_entities(self, before: datetime) -> Iterator[int]:
        after: datetime | str | None = "-infinity"
        behind: UUID | None = _FIRST
        while after is not None:
            with self._ledger.turn() as connection:
                query = "SELECT * FROM remove_entities(%s, %s, %s, %s, %s)"
                parameters = [self._provider, before, after, behind, _BATCH]
                after, behind, removed = fetch_one(connection, query, parameters)
            yield removed

    def _record_done(self, row: Mapping[str, Any]) -> None:
        with self._ledger.connected() as connection:
            query = """
                INSERT INTO retention_progress (provider, kind, done_until)
                VALUES (%(provider)s, %(kind)s, %(removes_before)s)
                ON CONFLICT (provider, kind) DO UPDATE SET done_until = excluded.done_until
            """
            connection.execute(query, row)

    def _require_time(self) -> None:
        if time.monotonic() > self._until:
            raise PostponedError("the time for this run is over")


def _months(connection: Connection) -> dict[date, list[str]]:
    """Return the months that have a partition of receipts or bodies, by their first days, oldest first."""
    query = """
        SELECT to_date(right(relname, 7), 'YYYY_MM') AS month,
               array_agg(inhparent::regclass::text ORDER BY inhparent::regclass::text DESC) AS tables
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent IN ('receipts'::regclass, 'bodies'::regclass) AND relname ~ '_[0-9]{4}_[0-9]{2}$'
        GROUP BY month ORDER BY month
    """
    return dict(connection.execute(query))
