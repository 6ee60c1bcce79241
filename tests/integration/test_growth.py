"""What dashboards read stays right and fast while the ledger grows: counts that are kept, indexes that are used."""

import json
from typing import Any

import pytest
from redis import Redis

from app.audit.conservation import audit
from app.inbox.stream import Inbox
from app.storage import reports
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_ledger import processed

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


def test_counts_follow_the_ledger(database: str, connection: Connection) -> None:
    fill(database)
    assert counts(connection) == [("kompar", 1, 1, 1)]
    ledger = Ledger(database, "kompar")
    ledger.store([processed(1, 1, {"application_id": "a"}), processed(4, 0, {"application_id": "a"})])
    assert counts(connection) == [("kompar", 1, 2, 1)]  # an older one turned up: the first became a duplicate
    ledger.replay([processed(3, 3, {"application_id": "b"})], dry_run=True)
    assert counts(connection) == [("kompar", 1, 2, 1)]
    ledger.replay([processed(3, 3, {"application_id": "b"})])
    assert counts(connection) == [("kompar", 2, 2, 0)]
    ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE receipts SET provider = 'acme', outcome = 'duplicate', reason = 'x' WHERE outcome = 'stored'",
        "UPDATE receipts SET seq = seq + 1",
        "DELETE FROM receipts WHERE outcome = 'dead'",
        "DELETE FROM receipts",
        "TRUNCATE receipts CASCADE",
    ],
)
def test_counts_follow_whoever_writes(database: str, connection: Connection, statement: str) -> None:
    fill(database)
    connection.execute("TRUNCATE dead_letters, bodies, events")
    connection.execute(statement.encode())
    counts(connection)


def test_counts_follow_a_copy(database: str, connection: Connection) -> None:
    fill(database)
    with connection.cursor().copy("COPY receipts FROM STDIN") as copy:
        for number in range(5):
            row = (f"00000000-0000-0000-0000-00000000010{number}", "acme", "orders", None, None, "stored", None,
                   "2026-11-22", "2026-11-22", "00000000-0000-0000-0000-000000000001", number)  # fmt: skip
            copy.write_row(row)
    assert counts(connection) == [("acme", 5, 0, 0), ("kompar", 1, 1, 1)]


def test_the_audit_counts_rows_and_reports_what_was_written_past_the_counts(
    database: str, connection: Connection, redis: Redis
) -> None:
    fill(database)
    inbox = Inbox(redis, "kompar")
    assert not audit(connection, inbox).outcomes.miscounted
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE receipts SET outcome = 'duplicate' WHERE outcome = 'stored'")
    found = audit(connection, inbox).outcomes
    assert (found.stored, found.duplicate, found.dead, found.miscounted) == (0, 2, 1, True)
    connection.execute("SELECT recount_receipts()")
    assert not audit(connection, inbox).outcomes.miscounted
    assert counts(connection) == [("kompar", 0, 2, 1)]


@pytest.mark.parametrize(
    ("read", "index"),
    [
        ("throughput_per_minute WHERE minute > now() - interval '1 hour'", "receipts_by_minute"),
        ("deliveries ORDER BY received_at DESC, receipt DESC LIMIT 10", "receipts_by_time"),
        ("deliveries WHERE outcome = 'duplicate' ORDER BY received_at DESC LIMIT 10", "receipts_not_stored"),
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
    assert f'"{index}"' in json.dumps(row[0])


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
