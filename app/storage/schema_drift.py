"""What deliveries hold that no schema declares: rows of a bounded number per event type."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import reduce
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from app.domain.schema_drift import Undeclared
from app.storage.connection import Connection, columns, fetch_one

# Rows of one event type. What is beyond is counted in one more row.
MOST_ROWS = 200
# What is found among the first events of a type was there when Kvitto was installed.
FIRST_EVENTS = 100
_MORE = Undeclared("more", "*", "any")


class Finding(NamedTuple):
    """What was found in events of a type."""

    event_type: str
    undeclared: Undeclared


class Sightings(NamedTuple):
    """In how many deliveries it was found, the first and the last time of receipt, and the last receipt."""

    deliveries: int
    first_received_at: datetime
    last_received_at: datetime
    receipt: UUID

    def and_then(self, other: "Sightings") -> "Sightings":
        """Return these sightings and others."""
        newest = max(self, other, key=attrgetter("last_received_at"))
        first = min(self.first_received_at, other.first_received_at)
        return Sightings(self.deliveries + other.deliveries, first, newest.last_received_at, newest.receipt)


def record(connection: Connection, provider: str, found: Mapping[Finding, Sightings]) -> list[Finding]:
    """Count sightings, and return the findings that are a change: first seen, and not since the installation."""
    missing = found.keys() - _update(connection, provider, found)
    by_event_type = defaultdict(list)
    for finding in sorted(missing):
        by_event_type[finding.event_type].append(finding)
    changes: list[Finding] = []
    for event_type, findings in by_event_type.items():
        query = "SELECT count(*) AS rows FROM schema_drift WHERE provider = %s AND event_type = %s AND kind <> 'more'"
        room = max(0, MOST_ROWS - fetch_one(connection, query, [provider, event_type]).rows)
        changes += _insert(connection, provider, findings[:room], found)
        if beyond := findings[room:]:
            sightings = reduce(Sightings.and_then, (found[finding] for finding in beyond))
            more = Finding(event_type, _MORE)
            changes += _insert(connection, provider, [more], {more: sightings})
    return changes


def _update(connection: Connection, provider: str, found: Mapping[Finding, Sightings]) -> Collection[Finding]:
    """Count sightings of what has a row; return it."""
    query = """
        UPDATE schema_drift AS kept
        SET deliveries = kept.deliveries + seen.deliveries,
            first_received_at = least(kept.first_received_at, seen.first_at),
            last_received_at = greatest(kept.last_received_at, seen.last_at), receipt = seen.receipt
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[],
                    %s::timestamptz[], %s::uuid[])
             AS seen (event_type, kind, path, json_type, value, deliveries, first_at, last_at, receipt)
        WHERE kept.provider = %s AND kept.event_type = seen.event_type AND kept.path = seen.path
          AND kept.json_type = seen.json_type AND kept.value = seen.value
        RETURNING seen.event_type, seen.kind, seen.path, seen.json_type, seen.value
    """
    rows = columns(_row(finding, sightings) for finding, sightings in sorted(found.items()))
    return {Finding(row[0], Undeclared(*row[1:])) for row in connection.execute(query, [*rows, provider])}


def _row(finding: Finding, sightings: Sightings) -> tuple[object, ...]:
    return (finding.event_type, *finding.undeclared, *sightings)


def _insert(
    connection: Connection, provider: str, findings: Iterable[Finding], found: Mapping[Finding, Sightings]
) -> list[Finding]:
    """Insert rows; return those that are a change, and that no other process inserted at the same time."""
    query = """
        INSERT INTO schema_drift (provider, event_type, kind, path, json_type, value, deliveries, first_received_at,
                                  last_received_at, receipt, known_since_install)
        SELECT %(provider)s, %(event_type)s,
               CASE WHEN %(kind)s = 'key' AND EXISTS (
                   SELECT FROM schema_drift
                   WHERE provider = %(provider)s AND event_type = %(event_type)s AND path = %(path)s
               ) THEN 'type' ELSE %(kind)s END,
               %(path)s, %(json_type)s, %(value)s, %(deliveries)s, %(first_received_at)s, %(last_received_at)s,
               %(receipt)s,
               (SELECT count(*) FROM (
                   SELECT FROM events
                   WHERE provider = %(provider)s AND event_type = %(event_type)s
                     AND received_at < %(first_received_at)s LIMIT %(first_events)s
               ) AS earlier) < %(first_events)s
        ON CONFLICT (provider, event_type, path, json_type, value) DO UPDATE
        SET deliveries = schema_drift.deliveries + excluded.deliveries,
            last_received_at = greatest(schema_drift.last_received_at, excluded.last_received_at),
            receipt = excluded.receipt
        RETURNING deliveries = %(deliveries)s AND NOT known_since_install AS is_change
    """
    changes = []
    for finding in findings:
        values = {"provider": provider, "event_type": finding.event_type, "first_events": FIRST_EVENTS}
        values |= finding.undeclared._asdict() | found[finding]._asdict()
        if fetch_one(connection, query, values).is_change:
            changes.append(finding)
    return changes
