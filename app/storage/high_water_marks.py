"""High-water marks: what an inbox once held, kept in Postgres because Redis loses its count together with its data."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.domain.delivery import StreamId
from app.domain.high_water_mark import HighWaterMark
from app.storage.connection import Connection, columns, fetch_one


def record(connection: Connection, marks: Iterable[tuple[str, HighWaterMark]]) -> None:
    """Record marks with their providers. A mark stays as it is: none replaces another."""
    query = """
        INSERT INTO inbox_high_water_marks (provider, epoch, appended, received_at, seq)
        SELECT * FROM unnest(%s::text[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::bigint[])
        ON CONFLICT DO NOTHING
    """
    rows = [
        (provider, mark.epoch, mark.appended, mark.last_id.received_at, mark.last_id.seq)
        for provider, mark in marks
        if mark.appended
    ]
    if rows:
        connection.execute(query, columns(rows))


def load(connection: Connection, provider: str) -> list[HighWaterMark]:
    """Return every mark of a provider that the ledger has not confirmed, and the newest of each epoch."""
    query = "SELECT epoch, appended, received_at, seq, observed_at FROM inbox_high_water_marks WHERE provider = %s"
    rows = connection.execute(query, [provider])
    return [
        HighWaterMark(row.epoch, row.appended, StreamId.at(row.received_at, row.seq), row.observed_at) for row in rows
    ]


def count(connection: Connection, provider: str) -> int:
    """Return how many marks of a provider are kept."""
    query = "SELECT count(*) AS marks FROM inbox_high_water_marks WHERE provider = %s"
    return int(fetch_one(connection, query, [provider]).marks)


def forget_confirmed(connection: Connection, provider: str) -> None:
    """Delete the marks of which the ledger holds every entry, except the newest of each epoch."""
    connection.execute("SELECT forget_confirmed_marks(%s)", [provider])


def newest_receipts(connection: Connection, providers: Sequence[str]) -> tuple[datetime, dict[str, datetime]]:
    """Return this server's clock, and each provider's newest known time of receipt, of either store."""
    query = "SELECT provider, newest_receipt(provider) AS newest_at FROM unnest(%s::text[]) AS provider"
    rows = connection.execute(query, [list(providers)])
    newest = {row.provider: row.newest_at for row in rows if row.newest_at}
    return fetch_one(connection, "SELECT clock_timestamp() AS now").now, newest
