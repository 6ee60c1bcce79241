"""Reads the reporting views, as dashboards do."""

from datetime import datetime
from typing import Any

import psycopg
import psycopg.errors
from psycopg.rows import dict_row

from app.storage.connection import Connection

Rows = list[dict[str, Any]]


def _rows(connection: Connection, query: str) -> Rows:
    return [row._asdict() for row in connection.execute(query)]


def query(connection: Connection, statement: str) -> tuple[list[str], Rows]:
    """Return the columns and rows of one statement; raises ValueError with what Postgres has against it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        try:
            cursor.execute(statement.encode(), prepare=True)  # prepared, it is one statement and no more
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.errors.ReadOnlySqlTransaction) as error:
            raise ValueError(_told(error)) from error
        return [column.name for column in cursor.description or ()], cursor.fetchall() if cursor.description else []


def _told(error: psycopg.Error) -> str | None:
    """Return what Postgres has against a statement; that it is several is told by where it says so, in any language."""
    several = error.diag.source_function == "exec_parse_message"
    return "one statement at a time" if several else error.diag.message_primary


def conservation(connection: Connection) -> Rows:
    """Return how many deliveries had which outcome, by provider."""
    return _rows(connection, "SELECT provider, stored, duplicate, dead FROM reporting.conservation ORDER BY provider")


def freshness(connection: Connection) -> Rows:
    """Return how complete the ledger is, by provider; `behind_seconds` is the age of that knowledge."""
    return _rows(
        connection,
        """
        SELECT provider, complete_until, pending,
               greatest(0, extract(epoch FROM clock_timestamp() - complete_until))::double precision AS behind_seconds
        FROM reporting.freshness ORDER BY provider
        """,
    )


def audits(connection: Connection) -> Rows:
    """Return each provider's last audit, and how long ago it was."""
    return _rows(
        connection,
        """
        SELECT provider, missing, accepted_loss, in_flight, audited_at,
               extract(epoch FROM clock_timestamp() - audited_at)::double precision AS seconds_ago
        FROM reporting.audits ORDER BY provider
        """,
    )


def canaries(connection: Connection) -> Rows:
    """Return when each provider's newest canary was sent, its age and how long it travelled, both in seconds."""
    return _rows(
        connection,
        """
        SELECT provider, sent_at, extract(epoch FROM clock_timestamp() - sent_at)::double precision AS age_seconds,
               extract(epoch FROM stored_at - sent_at)::double precision AS seconds
        FROM reporting.canaries ORDER BY provider
        """,
    )


def throughput(connection: Connection) -> Rows:
    """Return the last ten minutes that saw deliveries, newest first."""
    return _rows(
        connection,
        """
        SELECT minute, provider, outcome, deliveries, round(p50_ms) AS p50_ms, round(p99_ms) AS p99_ms
        FROM reporting.throughput_per_minute
        WHERE minute > now() - interval '1 hour' ORDER BY minute DESC, provider, outcome LIMIT 10
        """,
    )


def newest_events(connection: Connection, limit: int = 10) -> Rows:
    """Return what was received last and became a revision."""
    return [
        row._asdict()
        for row in connection.execute(
            """
            SELECT provider, event_type, entity_id, revision, flags, received_at
            FROM reporting.events ORDER BY received_at DESC, receipt DESC LIMIT %s
            """,
            [limit],
        )
    ]


def newest_deliveries(connection: Connection, outcome: str, limit: int = 10) -> Rows:
    """Return the last deliveries of one outcome."""
    return [
        row._asdict()
        for row in connection.execute(
            """
            SELECT receipt, provider, topic, entity_id, outcome, reason, received_at
            FROM reporting.deliveries WHERE outcome = %s ORDER BY received_at DESC, receipt DESC LIMIT %s
            """,
            [outcome, limit],
        )
    ]


def first_since(connection: Connection, provider: str, topic: str, since: datetime) -> dict[str, Any] | None:
    """Return the first delivery of a topic that was received and processed since a time, None if there is none yet.

    Redis' clock, by which deliveries are received, may be a few seconds behind that of this server.
    """
    row = connection.execute(
        """
        SELECT receipt, outcome, reason, received_at FROM reporting.deliveries
        WHERE provider = %s AND topic = %s AND processed_at >= %s AND received_at >= %s::timestamptz - interval '5 s'
        ORDER BY received_at, receipt LIMIT 1
        """,
        [provider, topic, since, since],
    ).fetchone()
    return row._asdict() if row else None


def newest_dead_letters(connection: Connection, limit: int = 10) -> Rows:
    """Return the last dead letters that wait for their replay; `detail` quotes no value."""
    return [
        row._asdict()
        for row in connection.execute(
            """
            SELECT receipt, provider, topic, reason, detail, received_at
            FROM reporting.dead_letters WHERE replayed_at IS NULL ORDER BY received_at DESC, receipt DESC LIMIT %s
            """,
            [limit],
        )
    ]


def applications(connection: Connection) -> Rows:
    """Return Kompar's applications, as they stand now, in order of receipt."""
    return _rows(connection, "SELECT * FROM reporting.kompar_applications ORDER BY received_at, application_id")


def credit_lines(connection: Connection) -> Rows:
    """Return Solaris' credit lines, as they stand now, in order of receipt."""
    return _rows(connection, "SELECT * FROM reporting.solaris_credit_lines ORDER BY received_at, id")


def decisions(connection: Connection) -> Rows:
    """Return Kompar's decisions, in order of receipt."""
    return _rows(connection, "SELECT * FROM reporting.kompar_decisions ORDER BY received_at, application_id")
