"""A ledger of five million events: batches and audits read no more of it, and it ages by dropping months.

Rows that are read are counted by Postgres, so that nothing depends on how fast the machine is.
`KVITTO_AGEING_EVENTS=300000` makes it a smaller ledger.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from threading import Event, Thread
from typing import Any

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.audit.conservation import audit
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError, StoreUnavailableError
from app.inbox import client
from app.inbox.stream import Inbox
from app.storage import periods, reports
from app.storage.connection import connect, fetch_one
from app.storage.ledger import Ledger
from app.storage.retention import Retention
from config.redis_address import RedisAddress
from tests.integration.test_ledger import KOMPAR
from tests.support import databases
from tests.support.ageing import EPOCH, fill, month

pytestmark = pytest.mark.slow
EVENTS = int(os.environ.get("KVITTO_AGEING_EVENTS", "5000000"))
MONTHS = 24
DELIVERIES = 300
NUMBERS = count(EVENTS + 1)
READ = """
    SELECT sum(pg_stat_get_tuples_returned(oid))::bigint AS rows FROM pg_class
    WHERE relnamespace = 'kvitto'::regnamespace
"""


def batch(size: int, provider: str = "kompar") -> list[ProcessedDelivery]:
    """Return new deliveries; those of another provider than Kompar are dead letters."""
    found = []
    for number in (next(NUMBERS) for _ in range(size)):
        position = StreamId(int(datetime.now(UTC).timestamp() * 1000), number)
        delivery = Delivery(uuid7(), provider, "decisions", {}, b"x")
        received = ReceivedDelivery(delivery, position.received_at, EPOCH, position)
        event = KOMPAR.validate(Payload("decisions", {}, {"application_id": f"new-{number}"}))
        dead = InvalidDeliveryError("wrong-key", "")
        found.append(ProcessedDelivery(received, event if provider == "kompar" else dead))
    return found


class AgedLedger:
    """So many events in a database with a partition for each of MONTHS, and what a worker has of it.

    A fifth of the events is of the oldest month, which is the one that is dropped.
    """

    def __init__(self, dsn: str, redis: Redis, events: int) -> None:
        self.events, self.oldest = events, events // 5
        self.worker_dsn = dsn.replace("//kvitto@", "//kvitto_worker@")
        self.owner, self.worker = connect(dsn, "test"), connect(self.worker_dsn, "test")
        self.ledger, self.inbox = Ledger(self.worker_dsn, "kompar"), Inbox(redis, "kompar")
        with self.ledger.connected() as connection:
            for each in (self.owner, self.worker, connection):
                each.execute("SET statement_timeout = 0")
        self.owner.execute("SET synchronous_commit = off")

        fill(self.owner, self.events, self.oldest, MONTHS)
        self.owner.execute("VACUUM (ANALYZE)")
        self.ledger.close_periods()
        periods.recount(self.worker, "kompar", everything=True)

    def account(self) -> dict[str, Any]:
        return audit(self.worker, self.inbox).row()

    def read_by_audit(self) -> int:
        """Return how many rows an audit reads."""
        before = self._read()
        assert self.account()["missing"] == 0
        return self._read() - before

    def read_by_batches(self) -> int:
        """Return how many rows are read while DELIVERIES are stored, in batches."""
        before = self._read()
        for _ in range(DELIVERIES // 100):
            self.ledger.store(batch(100))
        return self._read() - before

    def _read(self) -> int:
        """Return how many rows all sessions have read so far, of tables and indexes alike."""
        with self.ledger.connected() as connection:
            for session in (self.owner, self.worker, connection):
                session.execute("SELECT pg_stat_force_next_flush()")
                session.execute("SELECT 1")
        return int(fetch_one(self.owner, READ).rows)

    def close(self) -> None:
        self.owner.close()
        self.worker.close()
        self.ledger.close()


@contextmanager
def ledger_of(events: int, postgres: str, valkey: str) -> Iterator[AgedLedger]:
    dsn, redis = databases.create(postgres), client.connect(RedisAddress.parse(valkey))
    redis.flushall()
    found = AgedLedger(dsn, redis, events)
    yield found
    found.close()
    databases.drop(postgres, dsn)


@pytest.fixture(scope="module")
def aged(postgres_server: str, valkey_server: str) -> Iterator[AgedLedger]:
    with ledger_of(EVENTS, postgres_server, valkey_server) as found:
        yield found


def test_audits_and_batches_read_no_more_of_a_ledger_that_is_ten_times_as_large(
    aged: AgedLedger, postgres_server: str, valkey_server: str
) -> None:
    with ledger_of(EVENTS // 10, postgres_server, valkey_server) as small:
        few = small.read_by_audit()
        known = small.owner.execute("SELECT FROM counted_periods").rowcount
    many, by_batches = aged.read_by_audit(), aged.read_by_batches()
    added = aged.owner.execute("SELECT FROM counted_periods").rowcount - known
    assert added > EVENTS // periods.ENTRIES // 2
    # A period is a row, and the entries of the last one are counted.
    assert many <= few + 10 * added + 2 * periods.ENTRIES
    assert by_batches <= 20 * DELIVERIES


def test_a_month_of_a_fifth_of_all_events_is_dropped_and_no_batch_waits_for_its_tables(aged: AgedLedger) -> None:
    before, counted = aged.account(), reports.delivery_counts(aged.owner)
    is_over, stored, failures = Event(), [0], list[StoreUnavailableError]()

    def deliver() -> None:
        ledger = Ledger(aged.worker_dsn, "solaris")
        with ledger.connected() as own:  # of another provider, which waits for tables only; a longer wait fails
            own.execute("SET lock_timeout = '100ms'")
        while not is_over.is_set():
            try:
                stored[0] += len(ledger.store(batch(20, "solaris")))
            except StoreUnavailableError as error:
                failures.append(error)
        ledger.close()

    delivering = Thread(target=deliver)
    delivering.start()
    try:
        limits = {"kompar": {"receipts": MONTHS - 1, "contents": MONTHS - 1}}
        run = Retention(aged.ledger, "kompar", limits, seconds=3600)
        removed = {step.what: step.rows for step in run.apply()}
    finally:
        is_over.set()
        delivering.join()
    assert (failures, stored[0] > 0) == ([], True)
    assert removed[f"receipts of {month(MONTHS):%Y-%m}"] == aged.oldest
    query = "SELECT FROM pg_class WHERE right(relname, 8) = %s"
    assert aged.owner.execute(query, [f"{month(MONTHS):_%Y_%m}"]).rowcount == 0
    assert fetch_one(aged.owner, "SELECT min(received_at) AS at FROM events").at >= month(MONTHS - 1)
    assert aged.account() == before
    kompar = [row | {"as_of": None} for row in counted if row["provider"] == "kompar"]
    assert kompar == [
        row | {"as_of": None} for row in reports.delivery_counts(aged.owner) if row["provider"] == "kompar"
    ]
