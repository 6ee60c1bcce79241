"""Reads the views of schema `reporting`, as dashboards do."""

from datetime import datetime
from typing import Any

import psycopg
import psycopg.errors
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from app.storage.connection import Connection, Query, fetch_one, patient

Rows = list[dict[str, Any]]


def query(connection: Connection, statement: str) -> tuple[list[str], Rows]:
    """Return the columns and rows of one statement that only reads; raises ValueError with the message of Postgres."""
    with patient(connection), connection.cursor(row_factory=dict_row) as cursor:
        connection.execute("SET TRANSACTION READ ONLY")
        try:
            with connection.pipeline() as pipeline:  # whose protocol takes one statement and no more
                cursor.execute(statement.encode())
                pipeline.sync()
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.errors.ReadOnlySqlTransaction) as error:
            # The function that reports several statements is the same whatever language the server's messages have.
            several = error.diag.source_function == "exec_parse_message"
            raise ValueError("one statement at a time" if several else error.diag.message_primary) from error
        return [column.name for column in cursor.description or ()], cursor.fetchall() if cursor.description else []


def view(connection: Connection, name: str) -> Rows:
    """Return all rows of a view of current states, in order of receipt."""
    return _rows(connection, SQL("SELECT * FROM reporting.{} ORDER BY first_received_at, 1").format(Identifier(name)))


def _rows(connection: Connection, query: Query, *parameters: Any) -> Rows:
    return [row._asdict() for row in connection.execute(query, parameters)]


def clock(connection: Connection) -> datetime:
    """Return the server's time."""
    now: datetime = fetch_one(connection, "SELECT clock_timestamp() AS now").now
    return now


def delivery_counts(connection: Connection) -> Rows:
    """Return how many deliveries had which outcome, by provider."""
    query = "SELECT provider, stored, duplicate, dead, discarded FROM reporting.delivery_counts ORDER BY provider"
    return _rows(connection, query)


def freshness(connection: Connection) -> Rows:
    """Return how complete the ledger is, by provider; `behind_seconds` is the age of the watermark."""
    query = """
        SELECT provider, complete_until, pending, clock_skew_seconds,
               extract(epoch FROM clock_timestamp() - complete_until)::double precision AS behind_seconds
        FROM reporting.freshness ORDER BY provider
    """
    return _rows(connection, query)


def audits(connection: Connection) -> Rows:
    """Return each provider's last audit, and how long ago it was."""
    query = """
        SELECT provider, missing, accepted_loss, in_flight, audited_at,
               extract(epoch FROM clock_timestamp() - audited_at)::double precision AS seconds_ago
        FROM reporting.audits ORDER BY provider
    """
    return _rows(connection, query)


def accounts(connection: Connection) -> Rows:
    """Return each provider's last audit with all of its numbers."""
    query = """
        SELECT provider, missing, appended, overflowed, receipts, copies, in_flight, accepted_loss, audited_at
        FROM reporting.audits ORDER BY provider
    """
    return _rows(connection, query)


def canaries(connection: Connection) -> Rows:
    """Return when each provider's newest canary was sent, its age and how long it travelled, both in seconds."""
    query = """
        SELECT provider, sent_at, extract(epoch FROM clock_timestamp() - sent_at)::double precision AS age_seconds,
               extract(epoch FROM stored_at - sent_at)::double precision AS seconds
        FROM reporting.canaries ORDER BY provider
    """
    return _rows(connection, query)


def overflow_backlog(connection: Connection) -> Rows:
    """Return how many deliveries wait in the overflow, and the age of the oldest, by provider; none: no row."""
    query = """
        SELECT provider, entries,
               greatest(extract(epoch FROM clock_timestamp() - oldest_at), 0)::double precision AS oldest_seconds
        FROM reporting.overflow_backlog ORDER BY provider
    """
    return _rows(connection, query)


def silence(connection: Connection) -> Rows:
    """Return when each provider, topic null, and each of its topics last delivered, and whether it is silent."""
    query = """
        SELECT provider, topic, last_received_at, usual_gap_seconds, expected_by, is_silent,
               extract(epoch FROM clock_timestamp() - last_received_at)::double precision AS seconds
        FROM reporting.silence ORDER BY provider, topic NULLS FIRST
    """
    return _rows(connection, query)


def dead_letter_counts(connection: Connection) -> Rows:
    """Return how many dead letters wait for a replay, and when they were received, by provider, topic and reason."""
    query = """
        SELECT provider, topic, reason, dead_letters, first_received_at, last_received_at
        FROM reporting.dead_letter_counts
        ORDER BY provider, topic, reason
    """
    return _rows(connection, query)


def replay_counts(connection: Connection) -> Rows:
    """Return how many dead letters a replay turned into events, by the reason for which they were dead."""
    return _rows(connection, "SELECT reason, replayed FROM reporting.replay_counts ORDER BY reason")


def schema_drift(connection: Connection) -> Rows:
    """Return what deliveries hold that no schema declares, newest first, without what was there from the start."""
    query = """
        SELECT provider, event_type, kind, path, json_type, value, first_received_at, last_received_at, deliveries,
               receipt
        FROM reporting.schema_drift WHERE NOT known_since_install
        ORDER BY first_received_at DESC, provider, event_type, path, json_type, value
    """
    return _rows(connection, query)


def database_bytes(connection: Connection) -> int:
    """Return the size of the database on disk."""
    return int(fetch_one(connection, "SELECT pg_database_size(current_database()) AS bytes").bytes)


def schema_drift_counts(connection: Connection) -> Rows:
    """Return how much each provider's deliveries hold that no schema declares, and since when the newest of it."""
    query = """
        SELECT provider, count(drift.path) AS findings,
               coalesce(max(drift.first_received_at), to_timestamp(0)) AS last_found_at
        FROM reporting.freshness
        LEFT JOIN (SELECT * FROM reporting.schema_drift WHERE NOT known_since_install) AS drift USING (provider)
        GROUP BY provider ORDER BY provider
    """
    return _rows(connection, query)


def throughput(connection: Connection) -> Rows:
    """Return the ten newest rows of the last hour, newest first."""
    query = """
        SELECT minute, provider, outcome, deliveries, round(p50_ms) AS p50_ms, round(p99_ms) AS p99_ms
        FROM reporting.throughput_per_minute
        WHERE minute > now() - interval '1 hour' ORDER BY minute DESC, provider, outcome LIMIT 10
    """
    return _rows(connection, query)


def minutes(connection: Connection) -> Rows:
    """Return how many deliveries of the last hour had which outcome, by minute of receipt."""
    query = """
        SELECT minute, provider, outcome, deliveries FROM reporting.throughput_per_minute
        WHERE minute > now() - interval '1 hour'
    """
    return _rows(connection, query)


def newest_deliveries(connection: Connection, outcome: str) -> Rows:
    """Return the ten last deliveries of one outcome, newest first."""
    query = """
        SELECT receipt, provider, topic, entity_id, outcome, reason, received_at
        FROM reporting.deliveries WHERE outcome = %s ORDER BY receipt DESC LIMIT 10
    """
    return _rows(connection, query, outcome)


def suspected_late_retries(connection: Connection) -> Rows:
    """Return the late retries that may be a change back, oldest first."""
    query = """
        SELECT receipt, provider, event_type, entity_id, received_at, retry_of
        FROM reporting.suspected_late_retries ORDER BY received_at, receipt
    """
    return _rows(connection, query)


def suspected_counts(connection: Connection) -> Rows:
    """Return how many late retries of each provider may be a change back."""
    query = """
        SELECT provider, count(receipt) AS suspected
        FROM reporting.freshness LEFT JOIN reporting.suspected_late_retries USING (provider)
        GROUP BY provider ORDER BY provider
    """
    return _rows(connection, query)


def feed_consumers(connection: Connection) -> Rows:
    """Return how far each consumer of the feed is, and the age of what waits for it and of its last read in seconds."""
    query = """
        SELECT consumer, provider, position, newest_position - position AS positions_behind, read_at,
               coalesce(extract(epoch FROM clock_timestamp() - waiting_since), 0)::double precision AS behind_seconds,
               extract(epoch FROM clock_timestamp() - read_at)::double precision AS unread_seconds
        FROM reporting.feed_consumers ORDER BY consumer, provider
    """
    return _rows(connection, query)


def first_since(connection: Connection, provider: str, topic: str, since: datetime) -> dict[str, Any] | None:
    """Return the first delivery of a topic that was received and processed since a time; None if there is none yet.

    Deliveries are received by the clock of Redis, which may be a few seconds behind that of this server.
    """
    query = """
        SELECT receipt, outcome, reason, received_at FROM reporting.deliveries
        WHERE provider = %s AND topic = %s AND processed_at >= %s AND received_at >= %s::timestamptz - interval '5 s'
        ORDER BY received_at, receipt LIMIT 1
    """
    row = connection.execute(query, [provider, topic, since, since]).fetchone()
    return row._asdict() if row else None
