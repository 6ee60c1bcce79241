"""Tallies: how far each edge process saw an inbox's server count, kept where that server's loss cannot reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.delivery import StreamId
from app.storage.connection import Connection


@dataclass(frozen=True, slots=True)
class ReportedMark:
    """How many entries an epoch had when the last one was confirmed, and that one's position."""

    provider: str
    epoch: UUID
    appended: int
    last_id: StreamId


def record_reported(connection: Connection, edge: UUID, tallied: Sequence[ReportedMark]) -> None:
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
            [each.last_id.ms for each in tallied],
            [each.last_id.seq for each in tallied],
        ],
    )


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """What is proven of an epoch: so many entries were appended at least, one of them at `last`."""

    appended: int
    last_id: StreamId
    seen_at: datetime


def record_swept(connection: Connection, provider: str, epoch: UUID, appended: int, last: StreamId) -> None:
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


def load(connection: Connection, provider: str) -> dict[UUID, HighWaterMark]:
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
    return {row.epoch: HighWaterMark(row.appended, StreamId(*row.last), row.seen_at) for row in rows}
