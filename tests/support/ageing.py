"""A ledger as months of deliveries leave it, filled by SQL."""

from datetime import UTC, datetime
from uuid import UUID

from app.domain.delivery import StreamId
from app.domain.high_water_mark import HighWaterMark
from app.storage import high_water_marks
from app.storage.connection import Connection, fetch_one

# The epoch of the inbox that the events came through.
EPOCH = UUID(int=1)
_PORTION = 100_000
_FILL = """
    WITH fresh AS MATERIALIZED (
        SELECT n, (left(first_receipt(at)::text, 13) || substr(md5(n::text), 1, 20))::uuid AS receipt, at,
               md5(n::text) AS id
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, LATERAL (
            SELECT date_trunc('milliseconds', CASE
                WHEN n <= %(oldest)s THEN %(start)s + interval '28 days' * (n::float / %(oldest)s)
                ELSE %(start)s + interval '1 month' + (now() - interval '1 hour' - %(start)s - interval '1 month')
                                                      * ((n - %(oldest)s)::float / (%(total)s - %(oldest)s))
            END) AS at
        ) AS received
    ), stored AS (
        INSERT INTO receipts (receipt, provider, topic, event_type, entity_id, outcome, received_at, epoch, seq)
        SELECT receipt, 'kompar', 'decisions', 'decisions', id, 'stored', at, %(epoch)s, n FROM fresh
    ), sealed AS (
        INSERT INTO bodies SELECT receipt, '{}', decode(id, 'hex') FROM fresh
    )
    INSERT INTO events (receipt, provider, event_type, entity_id, received_at, revision, content, digests, field_flags,
                        flags, position, changed_at, change)
    SELECT receipt, 'kompar', 'decisions', id, at, 1, '{}', '{}', '{}', '{}', n, at, 'new' FROM fresh
"""


def month(ago: int) -> datetime:
    """Return the first instant of the month so many months ago."""
    now = datetime.now(UTC)
    number = now.year * 12 + now.month - 1 - ago
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def fill(connection: Connection, events: int, oldest: int, months: int, in_partitions: bool = True) -> None:
    """Store so many events of Kompar in this month and so many before it, and have their inbox seen.

    `oldest` of them are of the oldest month. The others are spread evenly up to an hour ago.
    """
    for ago in range(1, months + 1) if in_partitions else ():
        connection.execute("SELECT create_month(%s)", [month(ago).date()])
    for first in range(1, events + 1, _PORTION):
        values = {"first": first, "last": min(events, first + _PORTION - 1), "start": month(months)}
        connection.execute(_FILL, values | {"total": events, "oldest": oldest, "epoch": EPOCH})
    newest = fetch_one(connection, "SELECT max(received_at) AS at FROM receipts WHERE epoch = %s", [EPOCH]).at
    mark = HighWaterMark(EPOCH, events, StreamId(int(newest.timestamp() * 1000), events))
    high_water_marks.record(connection, [("kompar", mark)])
