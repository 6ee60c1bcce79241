"""Rejected requests: how many there were, and the sealed requests themselves, kept for some days within bounds."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.delivery import Delivery
from app.storage.connection import Connection, columns, fetch_one

# What is kept, per provider. Solaris retries for seven days: the same time is left to correct wrong settings.
_BOUNDS = {"days": 7, "requests": 20_000, "bytes": 256 * 1024 * 1024}
# Requests that are fetched at once: 256 of at most a megabyte.
_FETCHED = 256
# So many requests in so many hours are reported to operators; anybody sends a few. Kompar tries again for 77 minutes.
_SEVERAL, _LATELY_HOURS = 5, 2
# Minutes are compared with statement_timestamp(): no index can answer for clock_timestamp(), which goes on meanwhile.


class RejectedCount(NamedTuple):
    """How many requests of a client were rejected for a reason within a minute."""

    minute: datetime
    provider: str
    reason: str
    client: str
    requests: int


class RejectedRequest(NamedTuple):
    """A rejected request, sealed. The provider gives up at `retried_until`, if this was its first try."""

    receipt: UUID
    provider: str
    reason: str
    client: str
    received_at: datetime
    retried_until: datetime
    size: int
    request: bytes


class RecentRejections(NamedTuple):
    """Requests of a provider that were rejected lately, and not all readmitted since.

    At `given_up_from` the provider gives up on the first that is kept; None if it has given up on all.
    """

    provider: str
    reason: str
    requests: int
    first_at: datetime
    last_at: datetime
    given_up_from: datetime | None


def record(connection: Connection, counts: Collection[RejectedCount], requests: Collection[RejectedRequest]) -> None:
    """Add counts, and keep requests."""
    with connection.transaction():
        if counts:
            query = """
                INSERT INTO rejected_counts AS kept
                SELECT * FROM unnest(%b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::bigint[])
                ON CONFLICT (minute, provider, reason, client)
                DO UPDATE SET requests = kept.requests + excluded.requests
            """
            connection.execute(query, columns(sorted(counts)))
        if requests:
            query = """
                INSERT INTO rejected_requests
                    (receipt, provider, reason, client, received_at, retried_until, size, request)
                SELECT * FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::timestamptz[],
                                     %b::timestamptz[], %b::integer[], %b::bytea[])
                ON CONFLICT DO NOTHING
            """
            connection.execute(query, columns(requests))


def trim(connection: Connection) -> None:
    """Delete what is too old, or too much."""
    connection.execute("SELECT trim_rejected_requests(%(days)s, %(requests)s, %(bytes)s)", _BOUNDS)


def summary(connection: Connection) -> list[dict[str, Any]]:
    """Return what is kept, by provider and reason."""
    query = "SELECT * FROM reporting.rejections ORDER BY provider, reason"
    return [row._asdict() for row in connection.execute(query)]


def by_client(connection: Connection, most: int) -> list[dict[str, Any]]:
    """Return how many requests of which client were rejected in the last day, the most first."""
    query = """
        SELECT provider, reason, client, sum(requests)::bigint AS requests, min(minute) AS first_at,
               max(minute) AS last_at
        FROM reporting.rejected_requests WHERE minute > statement_timestamp() - interval '1 day'
        GROUP BY provider, reason, client ORDER BY requests DESC, provider, reason, client LIMIT %s
    """
    return [row._asdict() for row in connection.execute(query, [most])]


def last_hour(connection: Connection) -> list[dict[str, Any]]:
    """Return how many requests of each provider were rejected in the last hour."""
    query = """
        SELECT provider, sum(requests)::bigint AS requests FROM reporting.rejected_requests
        WHERE minute > statement_timestamp() - interval '1 hour' GROUP BY provider
    """
    return [row._asdict() for row in connection.execute(query)]


def recent(connection: Connection) -> list[RecentRejections]:
    """Return the reasons for which several requests were rejected lately; times of requests to the minute."""
    query = """
        SELECT provider, reason, sum(recent.requests)::bigint AS requests, min(minute) AS first_at,
               max(minute) AS last_at, min(given_up_from) AS given_up_from
        FROM reporting.rejected_requests AS recent LEFT JOIN reporting.rejections AS kept USING (provider, reason)
        WHERE minute > statement_timestamp() - make_interval(hours => %s)
        GROUP BY provider, reason
        HAVING sum(recent.requests) >= %s AND bool_and(kept.requests > kept.readmitted) IS NOT FALSE
        ORDER BY provider, reason
    """
    return [RecentRejections(*row) for row in connection.execute(query, [_LATELY_HOURS, _SEVERAL])]


def find(connection: Connection, receipt: UUID) -> RejectedRequest | None:
    """Return a request that can be readmitted."""
    return next(_select(connection, "receipt = %(receipt)s", {"receipt": receipt}), None)


def since(connection: Connection, moment: datetime, provider: str | None) -> Iterator[RejectedRequest]:
    """Yield the requests since a moment that can be readmitted, oldest first."""
    condition = "received_at >= %(moment)s AND (%(provider)s::text IS NULL OR provider = %(provider)s)"
    return _select(connection, condition, {"moment": moment, "provider": provider})


def readmit(connection: Connection, delivery: Delivery) -> bool:
    """Have a delivery wait in the overflow under its original time of receipt; return false if it did before."""
    values = [delivery.receipt, delivery.provider, delivery.topic, Jsonb(dict(delivery.headers)), delivery.sealed]
    return bool(fetch_one(connection, "SELECT readmit(%s, %s, %s, %s, %b) AS is_readmitted", values).is_readmitted)


def _select(connection: Connection, condition: str, values: Mapping[str, Any]) -> Iterator[RejectedRequest]:
    """Yield requests in order of receipt, a few at a time."""
    query = f"""
        SELECT receipt, provider, reason, client, received_at, retried_until, size, request FROM rejected_requests
        WHERE request IS NOT NULL AND (received_at, receipt) > (%(last_at)s, %(last)s) AND {condition}
        ORDER BY received_at, receipt LIMIT {_FETCHED}
    """  # noqa: S608 - the conditions are above
    last: dict[str, Any] = {"last_at": datetime.min, "last": UUID(int=0)}
    while rows := connection.execute(query, {**values, **last}).fetchall():
        for row in rows:
            yield RejectedRequest(*row)
        last = {"last_at": rows[-1].received_at, "last": rows[-1].receipt}
