"""Dead letters: deliveries that could not be opened, validated or stored. Their sealed bodies wait for a replay.

A delivery that may crash workers is attempted alone, and becomes a dead letter after several crashes. Each attempt is
recorded before it begins and deleted when it ends, so that a crash leaves its record.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.outcome import Outcome
from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection, fetch_one

_COLUMNS = "receipt, provider, topic, dead_letters.reason, detail, received_at, replayed_at, discarded_at"


class Selection(NamedTuple):
    """Which dead letters to select; None selects all."""

    receipt: UUID | None = None
    provider: str | None = None
    reason: str | None = None
    since: datetime | None = None


def select(connection: Connection, selection: Selection, limit: int | None = None) -> list[dict[str, Any]]:
    """Return dead letters, oldest first, without those replayed or discarded since, unless one is named."""
    query = f"""
        SELECT {_COLUMNS} FROM dead_letters JOIN receipts USING (receipt)
        WHERE (outcome = 'dead' OR outcome = 'discarded' AND %(receipt)s::uuid IS NOT NULL)
          AND receipt = coalesce(%(receipt)s, receipt) AND provider = coalesce(%(provider)s, provider)
          AND dead_letters.reason = coalesce(%(reason)s, dead_letters.reason)
          AND received_at >= coalesce(%(since)s, received_at)
        ORDER BY received_at, receipt LIMIT %(limit)s
    """  # noqa: S608 - a constant
    return [row._asdict() for row in connection.execute(query, selection._asdict() | {"limit": limit})]


def find(connection: Connection, receipt: UUID) -> dict[str, Any] | None:
    """Return a receipt that is or was a dead letter, with the size of its sealed body in bytes, if it has one."""
    query = f"""
        SELECT {_COLUMNS}, outcome::text AS outcome, processed_at, octet_length(ciphertext) AS sealed_bytes, erased_at
        FROM dead_letters JOIN receipts USING (receipt) LEFT JOIN bodies USING (receipt)
        WHERE receipt = %s
    """  # noqa: S608 - a constant
    row = connection.execute(query, [receipt]).fetchone()
    return row and row._asdict()


def upsert(connection: Connection, outcomes: Mapping[UUID, Outcome]) -> None:
    """Write why receipts are dead letters; the reason of a replay that failed again replaces the older one."""
    for receipt, outcome in outcomes.items():
        if outcome.name == "dead":
            query = """
                INSERT INTO dead_letters (receipt, reason, detail) VALUES (%s, %s, %s)
                ON CONFLICT (receipt) DO UPDATE SET reason = excluded.reason, detail = excluded.detail
            """
            connection.execute(query, [receipt, outcome.reason, outcome.detail])


def record_replayed(connection: Connection, outcomes: Mapping[UUID, Outcome]) -> None:
    """Record when dead letters became events. A replay takes back that one was discarded."""
    replayed = [receipt for receipt, outcome in outcomes.items() if outcome.name != "dead"]
    connection.execute("UPDATE dead_letters SET discarded_at = NULL WHERE receipt = ANY(%s)", [list(outcomes)])
    connection.execute("UPDATE dead_letters SET replayed_at = clock_timestamp() WHERE receipt = ANY(%s)", [replayed])


def discard(connection: Connection, selection: Selection, operator: str, reason: str) -> list[UUID]:
    """Discard the dead letters that a selection names, all or none; return their receipts.

    They count apart from now on, and keep their sealed bodies.
    """
    with connection.transaction():
        receipts = [row["receipt"] for row in select(connection, selection) if row["discarded_at"] is None]
        query = """
            UPDATE receipts SET outcome = 'discarded' WHERE receipt = ANY(%s) AND outcome = 'dead' RETURNING receipt
        """
        discarded = [row.receipt for row in connection.execute(query, [receipts])]
        query = "UPDATE dead_letters SET discarded_at = clock_timestamp() WHERE receipt = ANY(%s)"
        connection.execute(query, [discarded])
        access_log.record_each(connection, Access("discard", operator, reason), discarded)
    return discarded


def begin_attempt(connection: Connection, receipt: UUID, worker: UUID) -> int:
    """Record an attempt by `worker`; return how many attempts of this worker began and did not end, this included."""
    query = """
        INSERT INTO isolated_attempts (receipt, worker) VALUES (%s, %s)
        ON CONFLICT (receipt, worker) DO UPDATE SET attempts = isolated_attempts.attempts + 1
        RETURNING attempts
    """
    return int(fetch_one(connection, query, [receipt, worker]).attempts)


def attempt_counts(connection: Connection, receipts: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many attempts of each receipt began and did not end, by any worker."""
    query = "SELECT receipt, sum(attempts)::integer FROM isolated_attempts WHERE receipt = ANY(%s) GROUP BY receipt"
    return dict(connection.execute(query, [list(receipts)]))


def forget_attempts(connection: Connection, receipt: UUID) -> None:
    """Delete all attempts of a delivery once one of them ended."""
    connection.execute("DELETE FROM isolated_attempts WHERE receipt = %s", [receipt])
