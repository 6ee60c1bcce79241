"""Projections: the tables that dashboards read, written from events by the same code for every provider."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.sql import SQL, Identifier

from app.domain.event import Content, Event, FieldFlags, Projection, all_flags
from app.storage.column_arrays import to_json
from app.storage.connection import Connection

_STATE = """
    SELECT entity_id, NULL::uuid AS receipt, NULL AS provider_event_id,
           jsonb_merge(content ORDER BY revision) AS content, jsonb_merge(field_flags ORDER BY revision) AS field_flags,
           max(revision) AS revision, min(received_at) AS received_at, max(received_at) AS updated_at
    FROM events
    WHERE provider = %s AND event_type = %s AND entity_id = ANY(%b) AND revision IS NOT NULL
    GROUP BY entity_id
"""
_HISTORY = """
    SELECT entity_id, receipt, provider_event_id, content, field_flags, revision, received_at, received_at AS updated_at
    FROM events
    WHERE provider = %s AND event_type = %s AND entity_id = ANY(%b) AND revision IS NOT NULL
"""

# The columns that storage fills, of either kind of table.
_STATE_COLUMNS = ("entity_id", "flags", "revision", "received_at", "updated_at")
_HISTORY_COLUMNS = (*_STATE_COLUMNS, "receipt", "provider_event_id")


class Revision(NamedTuple):
    """What a row is made of: one revision of an entity, or all of them merged, which have no receipt of their own."""

    entity_id: str
    receipt: UUID | None
    provider_event_id: str | None
    content: Content
    field_flags: FieldFlags
    revision: int
    received_at: datetime
    updated_at: datetime


def insert_new(connection: Connection, revisions: Iterable[tuple[Event, Revision]]) -> None:
    """Insert entities that the tables do not have yet, from all their revisions, in order."""
    by_kind: dict[tuple[str, str], tuple[Projection, list[Revision]]] = {}
    for event, revision in revisions:
        if event.projection is not None:
            by_kind.setdefault(event.entity[:2], (event.projection, []))[1].append(revision)
    for projection, rows in by_kind.values():
        _insert(connection, projection, _merged(rows) if projection.kind == "state" else rows)


def rebuild(connection: Connection, events: Iterable[Event]) -> None:
    """Replace the rows of the events' entities, from all their revisions in the ledger."""
    by_kind: dict[tuple[str, str], tuple[Projection, set[str]]] = {}
    for event in events:
        if event.projection is not None:
            by_kind.setdefault(event.entity[:2], (event.projection, set()))[1].add(event.entity.entity_id)
    for kind, (projection, entity_ids) in by_kind.items():
        ids, query = sorted(entity_ids), _STATE if projection.kind == "state" else _HISTORY
        revisions = connection.execute(query, [*kind, ids]).fetchall()
        connection.execute(SQL("DELETE FROM {} WHERE entity_id = ANY(%b)").format(Identifier(projection.name)), [ids])
        _insert(connection, projection, map(Revision._make, revisions))


def _merged(revisions: Iterable[Revision]) -> Iterable[Revision]:
    """Merge each entity's revisions as jsonb_merge does: a key that a later one lacks keeps its value and flags."""
    merged: dict[str, Revision] = {}
    for later in revisions:
        earlier = merged.get(later.entity_id)
        merged[later.entity_id] = later if earlier is None else later._replace(
            content={**earlier.content, **later.content},
            field_flags={**earlier.field_flags, **later.field_flags},
            received_at=earlier.received_at,
        )  # fmt: skip
    return merged.values()


def _insert(connection: Connection, projection: Projection, revisions: Iterable[Revision]) -> None:
    columns = _STATE_COLUMNS if projection.kind == "state" else _HISTORY_COLUMNS
    rows = []
    for revision in revisions:
        filled = revision._asdict() | {"flags": all_flags(revision.field_flags)}
        rows.append(projection.row(revision.content) | {column: filled[column] for column in columns})
    query = SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s::jsonb)")
    connection.execute(query.format(Identifier(projection.name)), [to_json(rows)])
