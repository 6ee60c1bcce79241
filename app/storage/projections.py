"""The tables that dashboards read, laid out from events: the same code for every provider."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

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


# What storage fills of every table, and of a history's besides.
_MERGED = ("entity_id", "flags", "revision", "received_at", "updated_at")
_SINGLE = (*_MERGED, "receipt", "provider_event_id")


class Revision(NamedTuple):
    """What a row is made of: one revision of an entity, or all of them merged, of no one receipt then."""

    entity_id: str
    receipt: UUID | None
    provider_event_id: str | None
    content: Content
    field_flags: FieldFlags
    revision: int
    received_at: datetime
    updated_at: datetime


def insert_new(connection: Connection, revisions: Iterable[tuple[Event, Revision]]) -> None:
    """Lay out entities that the tables have nothing of, from all their revisions, in order."""
    found: dict[tuple[str, str], tuple[Projection, list[Revision]]] = {}
    for event, revision in revisions:
        if event.projection is not None:
            found.setdefault(event.entity[:2], (event.projection, []))[1].append(revision)
    for table, rows in found.values():
        _insert(connection, table, _merged(rows) if table.kind == "state" else rows)


def rebuild(connection: Connection, events: Iterable[Event]) -> None:
    """Lay the entities of `events` out anew from all their revisions in the ledger."""
    found: dict[tuple[str, str], tuple[Projection, set[str]]] = {}
    for event in events:
        if event.projection is not None:
            found.setdefault(event.entity[:2], (event.projection, set()))[1].add(event.entity.entity_id)
    for kind, (table, entity_ids) in found.items():
        ids, query = sorted(entity_ids), _STATE if table.kind == "state" else _HISTORY
        revisions = connection.execute(query, [*kind, ids]).fetchall()
        connection.execute(sql.SQL("DELETE FROM {} WHERE entity_id = ANY(%b)").format(_name(table)), [ids])
        _insert(connection, table, map(Revision._make, revisions))


def _merged(revisions: Iterable[Revision]) -> Iterable[Revision]:
    """Merge each entity's revisions as jsonb_merge does: a key that a later one lacks keeps its value and flags."""
    merged: dict[str, Revision] = {}
    for later in revisions:
        earlier = merged.get(later.entity_id)
        merged[later.entity_id] = later if earlier is None else _merge(earlier, later)
    return merged.values()


def _merge(earlier: Revision, later: Revision) -> Revision:
    content, field_flags = {**earlier.content, **later.content}, {**earlier.field_flags, **later.field_flags}
    return later._replace(content=content, field_flags=field_flags, received_at=earlier.received_at)


def _insert(connection: Connection, table: Projection, revisions: Iterable[Revision]) -> None:
    query = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s::jsonb)").format(_name(table))
    connection.execute(query, [to_json([_row(table, revision) for revision in revisions])])


def _row(table: Projection, revision: Revision) -> dict[str, Any]:
    common = revision._asdict() | {"flags": all_flags(revision.field_flags)}
    own = _MERGED if table.kind == "state" else _SINGLE
    return table.row(revision.content) | {column: common[column] for column in own}


def _name(table: Projection) -> sql.Identifier:
    return sql.Identifier(table.name)
