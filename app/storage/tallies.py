"""Tallies: how far each edge process saw an inbox's server count, kept where that server's loss cannot reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.delivery import Position
from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class Tallied:
    """How many entries an epoch had when the last one was confirmed, and that one's position."""

    provider: str
    epoch: UUID
    appended: int
    last: Position


def note(connection: Connection, edge: UUID, tallied: Sequence[Tallied]) -> None:
    """Note an edge's totals; doing it again changes nothing, and an older one that arrives late neither."""
    connection.execute(
        """
        INSERT INTO tallies (edge, provider, epoch, appended, last_ms, last_seq)
        SELECT %s, * FROM unnest(%s::text[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[])
        ON CONFLICT (provider, epoch, edge) DO UPDATE
        SET appended = excluded.appended, last_ms = excluded.last_ms, last_seq = excluded.last_seq,
            seen_at = excluded.seen_at
        WHERE tallies.appended < excluded.appended
        """,
        [
            edge,
            [each.provider for each in tallied],
            [each.epoch for each in tallied],
            [each.appended for each in tallied],
            [each.last.ms for each in tallied],
            [each.last.seq for each in tallied],
        ],
    )
