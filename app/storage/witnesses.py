"""Witnesses: what was seen of each life of an inbox, by sweeps and by the edges' tallies."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.delivery import Position
from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class Witness:
    """What is proven of an epoch: so many entries were appended at least, one of them at `last`."""

    appended: int
    last: Position
    seen_at: datetime


def note_census(connection: Connection, provider: str, epoch: UUID, appended: int, last: Position) -> None:
    """Note what the server counts; of two that arrive in either order, the larger stays."""
    connection.execute(
        """
        INSERT INTO censuses (provider, epoch, appended, last_ms, last_seq) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (provider, epoch) DO UPDATE
        SET appended = excluded.appended, last_ms = excluded.last_ms, last_seq = excluded.last_seq,
            seen_at = excluded.seen_at
        WHERE censuses.appended <= excluded.appended
        """,
        [provider, epoch, appended, last.ms, last.seq],
    )


def load(connection: Connection, provider: str) -> dict[UUID, Witness]:
    """Return what is proven of every epoch: censuses and tallies are the server's own count, so the highest holds."""
    rows = connection.execute(
        """
        SELECT epoch, max(appended) AS appended, max(last) AS last, max(seen_at) AS seen_at
        FROM (
            SELECT epoch, appended, ARRAY[last_ms, last_seq] AS last, seen_at FROM censuses
            WHERE provider = %(provider)s
            UNION ALL
            SELECT epoch, appended, ARRAY[last_ms, last_seq], seen_at FROM tallies WHERE provider = %(provider)s
        ) AS witnesses
        GROUP BY epoch
        """,
        {"provider": provider},
    )
    return {row.epoch: Witness(row.appended, Position(*row.last), row.seen_at) for row in rows}
