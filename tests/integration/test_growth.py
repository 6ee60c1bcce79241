"""What dashboards and audits read stays right and fast while the ledger grows: counted periods, indexes, partitions."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from redis import Redis

from app.audit.conservation import audit
from app.inbox.stream import Inbox
from app.storage import partitions, periods, reports
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from tests.integration.test_ledger import processed
from tests.support.servers import eventually

_KEPT = "SELECT provider, stored, duplicate, dead FROM reporting.delivery_counts ORDER BY provider"
_COUNTED = """
    SELECT provider, count(*) FILTER (WHERE outcome = 'stored') AS stored,
           count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate, count(*) FILTER (WHERE outcome = 'dead') AS dead
    FROM receipts GROUP BY provider ORDER BY provider
"""


def counts(connection: Connection) -> list[tuple[Any, ...]]:
    """Return what the view says, which is what the rows come to."""
    kept = list(map(tuple, connection.execute(_KEPT)))
    assert kept == list(map(tuple, connection.execute(_COUNTED)))
    return kept


def fill(database: str) -> None:
    """Store one of each outcome."""
    ledger = Ledger(database, "kompar")
    ledger.store([processed(number, number, {"application_id": "a"}) for number in (1, 2)] + [processed(3, 3, None)])
    ledger.close()


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database.replace("//kvitto@", "//kvitto_worker@"), "kompar")
    yield ledger
    ledger.close()


def close_period(connection: Connection, ledger: Ledger) -> None:
    """Close a period behind all receipts, and count it."""
    query = "SELECT max(received_at) AS newest FROM receipts"
    with ledger.turn() as between:
        periods.close(between, "kompar", [between.execute(query).fetchall()[0].newest + timedelta(seconds=1)])
    periods.recount(connection, "kompar")


@pytest.mark.parametrize("is_counted", [False, True])
def test_counts_follow_the_ledger(database: str, connection: Connection, ledger: Ledger, is_counted: bool) -> None:
    def counted() -> list[tuple[Any, ...]]:
        found = counts(connection)
        periods.recount(connection, "kompar")
        assert counts(connection) == found
        return found

    fill(database)
    if is_counted:
        close_period(connection, ledger)
    assert counted() == [("kompar", 1, 1, 1)]
    ledger.store([processed(1, 1, {"application_id": "a"}), processed(4, 0, {"application_id": "a"})])
    assert counted() == [("kompar", 1, 2, 1)]  # an older one turned up: the first became a duplicate
    ledger.replay([processed(3, 3, {"application_id": "b"})], dry_run=True)
    assert counted() == [("kompar", 1, 2, 1)]
    ledger.replay([processed(3, 3, {"application_id": "b"})])
    assert counted() == [("kompar", 2, 2, 0)]


def test_an_audit_counts_a_late_entry_of_a_counted_period(
    database: str, connection: Connection, ledger: Ledger, redis: Redis
) -> None:
    fill(database)
    close_period(connection, ledger)
    inbox = Inbox(redis, "kompar")
    assert audit(connection, inbox).row()["receipts"] == 3
    ledger.store([processed(4, 1, {"application_id": "late"}), processed(1, 2, {"application_id": "a"})])
    row = audit(connection, inbox).row()
    assert (row["receipts"], row["copies"]) == (4, 1)


_ADD = """
    INSERT INTO receipts (receipt, provider, topic, outcome, received_at, epoch, seq)
    SELECT gen_random_uuid(), provider, topic, 'stored', received_at, epoch, 99 FROM receipts LIMIT 1
"""


def test_a_period_that_changes_while_it_is_counted_is_counted_again(
    database: str, connection: Connection, ledger: Ledger
) -> None:
    fill(database)
    close_period(connection, ledger)
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with connect(database, "holder") as holder, connect(database, "audit") as counting:
        with holder.transaction():
            holder.execute("LOCK TABLE duplicate_entries")
            recount = Thread(target=periods.recount, args=(counting, "kompar", True))
            recount.start()
            eventually(lambda: connection.execute(waits).rowcount == 1, "the count has begun")
            connection.execute(_ADD)
        recount.join()
    assert counts(connection) == [("kompar", 2, 1, 1)]
    periods.recount(connection, "kompar")
    assert counts(connection) == [("kompar", 2, 1, 1)]


def test_a_count_waits_for_no_batch(database: str, connection: Connection, ledger: Ledger) -> None:
    fill(database)
    close_period(connection, ledger)
    with connect(database, "batch") as batch:
        with batch.transaction():
            batch.execute(_ADD)
            connection.execute("SET lock_timeout = '1ms'")
            periods.recount(connection, "kompar", everything=True)
        assert counts(connection) == [("kompar", 2, 1, 1)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE receipts SET provider = 'acme', outcome = 'duplicate', reason = 'x' WHERE outcome = 'stored'",
        "UPDATE receipts SET seq = seq + 1",
        "DELETE FROM receipts WHERE outcome = 'dead'",
        "TRUNCATE receipts",
        "INSERT INTO receipts SELECT gen_random_uuid(), provider, topic, null, null, 'duplicate', 'x', received_at"
        " - interval '1 day', now(), epoch, 99 FROM receipts",
    ],
)
def test_counts_follow_every_writer(database: str, connection: Connection, ledger: Ledger, statement: str) -> None:
    fill(database)
    close_period(connection, ledger)
    connection.execute(statement.encode())
    counts(connection)
    periods.recount(connection, "kompar")
    counts(connection)


def test_rows_deleted_past_the_triggers_are_missing_once_their_period_is_counted_again(
    database: str, connection: Connection, ledger: Ledger, redis: Redis
) -> None:
    fill(database)
    close_period(connection, ledger)
    inbox = Inbox(redis, "kompar")
    connection.execute("DELETE FROM receipts_other WHERE outcome = 'dead'")
    periods.recount(connection, "kompar")  # not due yet
    assert audit(connection, inbox).outcomes["dead"] == 1
    connection.execute("UPDATE counted_periods SET counted_at = counted_at - interval '25 hours'")
    periods.recount(connection, "kompar")
    assert "dead" not in audit(connection, inbox).outcomes
    connection.execute("DELETE FROM receipts_other")
    periods.recount(connection, "kompar", everything=True)
    assert audit(connection, inbox).outcomes == {}


def test_periods_end_after_so_many_entries_or_a_day_and_never_behind_the_watermark(
    connection: Connection, ledger: Ledger
) -> None:
    def receive(count: int, age: str) -> None:
        query = """
            INSERT INTO receipts (receipt, provider, topic, outcome, received_at, epoch, seq)
            SELECT gen_random_uuid(), 'kompar', 'x', 'stored',
                   now() - %s::interval + n * interval '1 ms', '00000000-0000-7000-8000-000000000001', n
            FROM generate_series(1, %s) AS n
        """
        connection.execute(query, [age, count])

    def closed() -> int:
        ledger.close_periods()
        return connection.execute("SELECT FROM counted_periods").rowcount

    assert closed() == 0
    receive(10, "2 days")
    assert closed() == 1
    receive(10, "30 minutes")
    assert closed() == 1  # an older delivery may wait still
    query = "INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now(), 0)"
    connection.execute(query)
    assert closed() == 1  # few, and not for long
    receive(2 * periods.ENTRIES, "20 minutes")
    assert (closed(), closed()) == (3, 3)
    periods.recount(connection, "kompar")
    assert counts(connection) == [("kompar", 2 * periods.ENTRIES + 20, 0, 0)]


def test_partitions_are_made_ahead_and_take_over_rows_that_came_before_them(
    database: str, connection: Connection
) -> None:
    (has_strays, last_month, this_month) = partitions.state(connection)
    assert (has_strays, (last_month - this_month).days > 80) == (False, True)
    last = f"receipts_{last_month:%Y_%m}"
    connection.execute(f"DROP TABLE {last}".encode())
    ((first,),) = connection.execute("SELECT first_receipt(%s)", [last_month])
    query = """
        INSERT INTO receipts (receipt, provider, topic, outcome, received_at, epoch, seq)
        VALUES (%s, 'kompar', 'x', 'stored', now(), %s, 0)
    """
    connection.execute(query, [first, UUID(int=1)])
    assert partitions.state(connection)[0]
    with connect(database.replace("//kvitto@", "//kvitto_worker@"), "test") as worker:
        assert partitions.create(worker) == [last]
        assert partitions.create(worker) == []
        assert worker.execute("SELECT FROM receipts").rowcount == 1
    assert connection.execute(f"SELECT FROM {last}".encode()).rowcount == 1
    assert not partitions.state(connection)[0]


@pytest.mark.parametrize(
    ("read", "index"),
    [
        ("throughput_per_minute WHERE minute > now() - interval '1 hour'", "receipts_by_minute"),
        ("deliveries ORDER BY received_at DESC, receipt DESC LIMIT 10", "receipts_by_time"),
        ("deliveries WHERE outcome = 'duplicate' ORDER BY receipt DESC LIMIT 10", "receipts_not_stored"),
        ("events ORDER BY received_at DESC, receipt DESC LIMIT 10", "events_by_time"),
        ("events WHERE provider = 'a' AND event_type = 'b' AND entity_id = ANY('{c,d}')", "events_by_entity"),
        ("kompar_applications ORDER BY last_received_at DESC LIMIT 10", "kompar_applications_by_update"),
        ("kompar_applications WHERE first_received_at > now() - interval '30 days'", "kompar_applications_by_time"),
        ("kompar_decisions ORDER BY last_received_at DESC LIMIT 10", "kompar_decisions_by_update"),
        ("solaris_credit_lines ORDER BY last_received_at DESC LIMIT 10", "solaris_credit_lines_by_update"),
        ("solaris_overdraft_rates ORDER BY received_at DESC LIMIT 10", "solaris_overdraft_rates_by_time"),
        ("solaris_rejected_transactions ORDER BY received_at DESC LIMIT 10", "solaris_rejected_transactions_by_time"),
    ],
)
def test_what_is_read_often_has_an_index(connection: Connection, read: str, index: str) -> None:
    connection.execute("SET enable_seqscan = off")  # in an empty ledger no index would be worth it
    (row,) = connection.execute(f"EXPLAIN (FORMAT JSON) SELECT * FROM reporting.{read}".encode())
    used = re.findall(r'"Index Name": "(\w+)"', json.dumps(row[0]))
    query = "SELECT pg_partition_root(name::regclass)::text AS name FROM unnest(%s::text[]) AS name"
    roots = {root.name or name for root, name in zip(connection.execute(query, [used]), used, strict=True)}
    assert [root for root in roots if root.startswith(index)]


def test_minutes_are_the_same_whatever_the_sessions_zone(database: str, connection: Connection) -> None:
    fill(database)
    minutes = [
        row["minute"] for row in reports.query(connection, "SELECT minute FROM reporting.throughput_per_minute")[1]
    ]
    for zone in ("Europe/Stockholm", "Asia/Kathmandu"):
        connection.execute(f"SET timezone = '{zone}'".encode())
        query = "SELECT minute, date_trunc('minute', minute) AS truncated FROM reporting.throughput_per_minute"
        rows = reports.query(connection, query)[1]
        assert [row["minute"] for row in rows] == [row["truncated"] for row in rows] == minutes


def test_texts_in_indexes_have_an_order_that_no_upgrade_of_the_server_changes(connection: Connection) -> None:
    query = """
        SELECT indexrelid::regclass::text AS index FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        CROSS JOIN LATERAL unnest(indcollation) AS key JOIN pg_collation ON pg_collation.oid = key
        WHERE (relnamespace = 'kvitto'::regnamespace OR relname = 'kvitto_migrations') AND collname <> 'C'
    """
    assert [row.index for row in connection.execute(query)] == []
