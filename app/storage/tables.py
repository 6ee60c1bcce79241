"""The tables that dashboards read, laid out from events: the same code for every provider."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from app.event import Event, Table, flags_of
from app.storage.connection import Connection

# Times and ids as Postgres reads them.
_dumps = partial(json.dumps, default=str)

_STATE = """
    SELECT entity_id,
           jsonb_merge(content ORDER BY revision) AS content, jsonb_merge(doubts ORDER BY revision) AS doubts,
           max(revision) AS revision, min(received_at) AS received_at, max(received_at) AS updated_at
    FROM events
    WHERE provider = %s AND event_type = %s AND entity_id = ANY(%s) AND revision IS NOT NULL
    GROUP BY entity_id
"""
_HISTORY = """
    SELECT entity_id, receipt, identity, content, doubts, revision, received_at, received_at AS updated_at
    FROM events
    WHERE provider = %s AND event_type = %s AND entity_id = ANY(%s) AND revision IS NOT NULL
"""


def lay_out(connection: Connection, events: Iterable[Event]) -> None:
    """Lay the entities of `events` out anew from all their revisions."""
    groups: dict[tuple[str, str], tuple[Table, set[str]]] = {}
    for event in events:
        if event.table is not None:
            provider, event_type, entity_id = event.entity
            groups.setdefault((provider, event_type), (event.table, set()))[1].add(entity_id)
    for (provider, event_type), (table, entity_ids) in groups.items():
        query = _STATE if table.kind == "state" else _HISTORY
        ids = sorted(entity_ids)
        rows = list(_rows(table, connection.execute(query, [provider, event_type, ids]).fetchall()))
        _replace(connection, table.name, ids, rows)


def _rows(table: Table, found: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for row in found:
        common = row._asdict()
        content, doubts = common.pop("content"), common.pop("doubts")
        yield table.row(content) | common | {"flags": flags_of(doubts)}


def _replace(connection: Connection, table: str, entity_ids: list[str], rows: list[dict[str, Any]]) -> None:
    """Put `rows` in the place of whatever the table held of these entities."""
    name = sql.Identifier(table)
    connection.execute(sql.SQL("DELETE FROM {} WHERE entity_id = ANY(%s)").format(name), [entity_ids])
    connection.execute(
        sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)").format(name),
        [Jsonb(rows, dumps=_dumps)],
    )
