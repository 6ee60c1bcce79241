"""Counted periods: the ledger's past in parts whose entries were counted once, so that an audit counts what is new.

A trigger makes the counts of a period void in the transaction that writes into it, whatever role writes. What escapes
triggers is noticed when the period is counted again, which each is once a day.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from app.storage.connection import Connection, fetch_one

# Entries of a period: so few that counting them again is cheap, so many that there are few periods.
ENTRIES = 20_000
# Entries that are younger are rarely complete; a delivery that comes later costs another count of its period.
_MARGIN = timedelta(minutes=1)
# A delivery that nobody can process must not keep periods open for longer.
_LONGEST_WAIT = timedelta(hours=1)
# How often a period is counted again, and how many at most in one run: two million entries.
_COUNTED_FOR = timedelta(days=1)
_RECOUNTED = 100
# A period ends after this time however few entries it has.
_LONGEST = timedelta(days=1)


def recount(connection: Connection, provider: str, everything: bool = False) -> None:
    """Count periods that have no counts, and those that were counted a day ago, some at a time; or all of them.

    A period that a batch changes while it is counted keeps its state: its number of changes differs then. A count waits
    for no batch that has not committed, so that the two cannot wait for each other.
    """
    query = """
        WITH due AS (
            SELECT until, since, changes FROM periods
            WHERE provider = %(provider)s
              AND (%(everything)s OR counts IS NULL OR counted_at < clock_timestamp() - %(counted_for)s)
            ORDER BY counts IS NOT NULL, counted_at LIMIT %(most)s
        ), counted AS MATERIALIZED (
            SELECT until, changes,
                   (SELECT coalesce(jsonb_agg(to_jsonb(entry)), '[]')
                    FROM count_entries(%(provider)s, since, until) AS entry) AS counts
            FROM due
        ), unchanged AS MATERIALIZED (
            SELECT until FROM counted_periods AS kept JOIN counted USING (until, changes)
            WHERE kept.provider = %(provider)s FOR UPDATE OF kept SKIP LOCKED
        )
        UPDATE counted_periods AS kept SET counts = counted.counts, counted_at = clock_timestamp()
        FROM counted JOIN unchanged USING (until)
        WHERE kept.provider = %(provider)s AND kept.until = counted.until
    """
    most = None if everything else _RECOUNTED
    parameters = {"provider": provider, "everything": everything, "counted_for": _COUNTED_FOR, "most": most}
    connection.execute(query, parameters)


def ends(connection: Connection, provider: str) -> list[datetime]:
    """Return where periods can end that are not closed yet: after every ENTRIES entries, or after a day with fewer.

    None ends where deliveries are likely to be missing still: after the watermark, unless that has not moved for long.
    """
    query = """
        SELECT since < before - %(longest)s AS is_long, before,
               coalesce((SELECT sum(entries) FROM count_entries(%(provider)s, since, before)
                         WHERE kind NOT IN ('overflow', 'unmatched')), 0) AS entries
        FROM (SELECT coalesce((SELECT max(until) FROM counted_periods WHERE provider = %(provider)s), '-infinity'),
                     greatest((SELECT complete_until FROM ingest_progress WHERE provider = %(provider)s),
                              clock_timestamp() - %(wait)s) - %(margin)s) AS open (since, before)
    """
    parameters: dict[str, Any] = {"provider": provider, "longest": _LONGEST, "wait": _LONGEST_WAIT, "margin": _MARGIN}
    is_long, before, entries = fetch_one(connection, query, parameters)
    if entries < ENTRIES:
        return [before] if entries and is_long else []
    query = """
        SELECT DISTINCT received_at FROM (
            SELECT received_at, row_number() OVER (ORDER BY received_at) AS number FROM entries
            WHERE provider = %(provider)s AND received_at < %(before)s AND received_at
                >= coalesce((SELECT max(until) FROM counted_periods WHERE provider = %(provider)s), '-infinity')
        ) AS numbered WHERE number %% %(size)s = 0 ORDER BY received_at
    """
    rows = connection.execute(query, {"provider": provider, "before": before, "size": ENTRIES})
    return [row.received_at for row in rows]


def has_empty(connection: Connection, provider: str) -> bool:
    """Return whether a period has no entries: retention removed them."""
    query = "SELECT FROM counted_periods WHERE provider = %s AND counts = '[]' LIMIT 1"
    return connection.execute(query, [provider]).rowcount == 1


def close(connection: Connection, provider: str, until: Collection[datetime]) -> None:
    """Close periods that end there, and join empty ones to the next.

    The provider's lock must be held: the next batch has to see them.
    """
    connection.execute("DELETE FROM counted_periods WHERE provider = %s AND counts = '[]'", [provider])
    query = """
        INSERT INTO counted_periods (provider, until)
        SELECT %(provider)s, until FROM unnest(%(until)s::timestamptz[]) AS until
        WHERE until > coalesce((SELECT max(until) FROM counted_periods WHERE provider = %(provider)s), '-infinity')
    """
    connection.execute(query, {"provider": provider, "until": list(until)})
