"""The feed: every revision at the position of its last change, for programs outside that must not miss one."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.errors import CheckViolation, InvalidParameterValue

from app.storage.connection import Connection, fetch_one

# What listeners hear of each transaction that changed the feed: {"provider": …, "position": the newest}.
CHANNEL = "kvitto_feed"
Rows = list[dict[str, Any]]


def take_positions(connection: Connection, provider: str, receipts: Sequence[UUID]) -> dict[UUID, int]:
    """Give each receipt a position behind all others of the provider, in this order, and notify listeners.

    The number is locked until the transaction ends, so that no other transaction can make a position visible before
    the lower ones of this one are.
    """
    if not receipts:
        return {}
    query = """
        WITH taken AS (
            INSERT INTO feed_positions AS kept (provider, position) VALUES (%s, %s)
            ON CONFLICT (provider) DO UPDATE SET position = kept.position + excluded.position
            RETURNING provider, position
        )
        SELECT position AS newest, pg_notify(%s, row_to_json(taken)::text) FROM taken
    """
    newest = int(fetch_one(connection, query, [provider, len(receipts), CHANNEL]).newest)
    return {receipt: newest - len(receipts) + number for number, receipt in enumerate(receipts, start=1)}


def assign_positions(connection: Connection, provider: str, receipts: Sequence[UUID]) -> None:
    """Move events whose content was erased to the end of the feed, where they appear as `erased`.

    Call it in the transaction that erases, under the provider's lock. The events keep their rows, without content;
    those that were never in the feed stay out of it.
    """
    query = "SELECT receipt FROM events WHERE receipt = ANY(%s) AND position IS NOT NULL ORDER BY position"
    in_order = [row.receipt for row in connection.execute(query, [list(receipts)])]
    positions = take_positions(connection, provider, in_order)
    query = """
        UPDATE events SET position = moved.position, changed_at = clock_timestamp(), change = 'erased'
        FROM unnest(%s::uuid[], %s::bigint[]) AS moved (receipt, position) WHERE events.receipt = moved.receipt
    """
    connection.execute(query, [list(positions), list(positions.values())])


def read(connection: Connection, provider: str, after: int, limit: int) -> Rows:
    """Return the changes behind a position, in order of position."""
    query = "SELECT * FROM reporting.feed WHERE provider = %s AND position > %s ORDER BY position LIMIT %s"
    return _rows(connection, query, provider, after, limit)


def read_unconfirmed(connection: Connection, consumer: str, provider: str, limit: int) -> Rows:
    """Return the changes that a consumer has not confirmed, in order of position.

    Raises:
        ValueError: The consumer's name is no slug, or no worker has served the provider yet.
    """
    try:
        return _rows(connection, "SELECT * FROM reporting.read_feed(%s, %s, %s)", consumer, provider, limit)
    except CheckViolation as error:
        raise ValueError(f"{consumer!r} names no consumer: write it like scoring or risk-2") from error
    except InvalidParameterValue as error:
        raise ValueError(f"{error.diag.message_primary}. {error.diag.message_hint}") from error


def confirm(connection: Connection, consumer: str, provider: str, position: int) -> None:
    """Record that a consumer has processed every change up to a position that it read."""
    connection.execute("SELECT reporting.confirm_feed(%s, %s, %s)", [consumer, provider, position])


def forget(connection: Connection, consumer: str) -> int:
    """Delete the cursors of a consumer; return how many it had."""
    return int(fetch_one(connection, "SELECT reporting.forget_consumer(%s) AS cursors", [consumer]).cursors)


def listen(connection: Connection) -> None:
    """Have the server notify this connection of changes, which `wait` then waits for."""
    connection.execute(f"LISTEN {CHANNEL}")


def wait(connection: Connection, seconds: float) -> None:
    """Return when the feed changed, or after so many seconds: a pooler may pass on no notification."""
    for _ in connection.notifies(timeout=seconds, stop_after=1):
        pass


def _rows(connection: Connection, query: Any, *parameters: Any) -> Rows:
    return [row._asdict() for row in connection.execute(query, parameters)]
