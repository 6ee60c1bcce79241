"""Notes of tries of deliveries that run alone: made before the try, removed after it; a worker's death leaves one."""

from collections.abc import Sequence
from uuid import UUID

from app.storage.connection import Connection


def begin(connection: Connection, receipt: UUID, worker: UUID) -> int:
    """Note a try by `worker`; return how many of its tries, this one included, have begun and not ended."""
    row = connection.execute(
        """
        INSERT INTO isolated_attempts (receipt, worker) VALUES (%s, %s)
        ON CONFLICT (receipt, worker) DO UPDATE SET attempts = isolated_attempts.attempts + 1
        RETURNING attempts
        """,
        [receipt, worker],
    ).fetchone()
    assert row is not None  # noqa: S101 - it returns what it wrote
    return int(row.attempts)


def counts(connection: Connection, receipts: Sequence[UUID]) -> dict[UUID, int]:
    """Return how many tries of each have begun and not ended, by whatever worker."""
    rows = connection.execute(
        "SELECT receipt, sum(attempts)::integer AS n FROM isolated_attempts WHERE receipt = ANY(%s) GROUP BY receipt",
        [list(receipts)],
    )
    return {row.receipt: row.n for row in rows}


def forget(connection: Connection, receipt: UUID) -> None:
    """Remove every note of a delivery whose try came to an end."""
    connection.execute("DELETE FROM isolated_attempts WHERE receipt = %s", [receipt])
