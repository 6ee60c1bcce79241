"""High-water marks: how many entries an inbox had, kept in Postgres because Redis loses its counter with its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.delivery import StreamId
from app.storage.connection import Connection, columns

# The source of what a sweep saw. Every ingest process is a source of its own, named by its id.
SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """At least `appended` entries were appended to an epoch, one of them at `last_id`.

    `observed_at` is set by Postgres when the mark is recorded.
    """

    appended: int
    last_id: StreamId
    observed_at: datetime | None = None


def record(connection: Connection, source: str, marks: Mapping[tuple[str, UUID], HighWaterMark]) -> None:
    """Record what a source saw, by provider and epoch. A mark that arrives late never lowers a higher one."""
    query = """
        INSERT INTO inbox_high_water_marks AS kept (source, provider, epoch, appended, last_ms, last_seq)
        SELECT %s, * FROM unnest(%s::text[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[])
        ON CONFLICT (provider, epoch, source) DO UPDATE
        SET appended = excluded.appended, last_ms = excluded.last_ms, last_seq = excluded.last_seq,
            observed_at = excluded.observed_at
        WHERE kept.appended <= excluded.appended
    """
    rows = ((*key, mark.appended, mark.last_id.ms, mark.last_id.seq) for key, mark in marks.items())
    connection.execute(query, [source, *columns(rows)])


def load(connection: Connection, provider: str) -> dict[UUID, HighWaterMark]:
    """Return the highest mark of every epoch: all sources report the same counter, the server's own."""
    query = """
        SELECT epoch, max(appended) AS appended, max(ARRAY[last_ms, last_seq]) AS last_id,
               max(observed_at) AS observed_at
        FROM inbox_high_water_marks WHERE provider = %s GROUP BY epoch
    """
    rows = connection.execute(query, [provider])
    return {row.epoch: HighWaterMark(row.appended, StreamId(*row.last_id), row.observed_at) for row in rows}
