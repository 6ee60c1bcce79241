"""Projections: the tables that dashboards read, written from events by the same code for every provider."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from app.domain.event import Content, FieldFlags, Projection, all_flags
from app.storage.connection import Connection

# The columns that storage fills, of either kind of table.
_STATE_COLUMNS = ("entity_id", "flags", "revision", "received_at", "updated_at")
_HISTORY_COLUMNS = (*_STATE_COLUMNS, "receipt", "provider_event_id")


class Revision(NamedTuple):
    """What a row is made of: one revision of an entity, or all of them merged."""

    entity_id: str
    receipt: UUID
    provider_event_id: str | None
    content: Content
    field_flags: FieldFlags
    revision: int
    received_at: datetime
    updated_at: datetime


def replace(connection: Connection, projection: Projection, revisions: Iterable[Revision]) -> None:
    """Replace the rows of entities by those of all their revisions, given in order."""
    by_row: dict[Any, Revision] = {}
    for revision in revisions:
        key = revision.entity_id if projection.kind == "state" else revision.receipt
        earlier = by_row.get(key)
        by_row[key] = revision if earlier is None else _merge(earlier, revision)
    columns = _STATE_COLUMNS if projection.kind == "state" else _HISTORY_COLUMNS
    rows = []
    for revision in by_row.values():
        filled = revision._asdict() | {"flags": all_flags(revision.field_flags)}
        rows.append(projection.row(revision.content) | {column: filled[column] for column in columns})
    table, entity_ids = Identifier(projection.name), sorted({row["entity_id"] for row in rows})
    connection.execute(SQL("DELETE FROM {} WHERE entity_id = ANY(%b)").format(table), [entity_ids])
    insert = SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)").format(table)
    connection.execute(insert, [Jsonb(rows)])


def _merge(earlier: Revision, later: Revision) -> Revision:
    """Merge two revisions: a key that the later one lacks keeps its value and flags."""
    return later._replace(
        content={**earlier.content, **later.content},
        field_flags={**earlier.field_flags, **later.field_flags},
        received_at=earlier.received_at,
    )
