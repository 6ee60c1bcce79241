"""Attempts to process a quarantined delivery alone: recorded before, deleted after; a crash leaves one."""

from collections.abc import Sequence
from uuid import UUID

from app.storage.connection import Connection, fetch_one


def begin(connection: Connection, receipt: UUID, worker: UUID) -> int:
    """Record an attempt by `worker`; return how many attempts of this worker began and did not end, this included."""
    row = fetch_one(
        connection,
        """
        INSERT INTO isolated_attempts (receipt, worker) VALUES (%s, %s)
        ON CONFLICT (receipt, worker) DO UPDATE SET attempts = isolated_attempts.attempts + 1
        RETURNING attempts
        """,
        [receipt, worker],
    )
    return int(row.attempts)


def counts(connection: Connection, receipts: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many attempts of each receipt began and did not end, by any worker."""
    rows = connection.execute(
        "SELECT receipt, sum(attempts)::integer AS n FROM isolated_attempts WHERE receipt = ANY(%s) GROUP BY receipt",
        [list(receipts)],
    )
    return {row.receipt: row.n for row in rows}


def forget(connection: Connection, receipt: UUID) -> None:
    """Delete all attempts of a delivery once one of them ended."""
    connection.execute("DELETE FROM isolated_attempts WHERE receipt = %s", [receipt])
