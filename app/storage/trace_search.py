"""Searches every table of the database for what shows a person or an entity, and cleans up behind erased rows."""

from collections import defaultdict
from typing import NamedTuple

from psycopg.sql import SQL, Identifier, Literal

from app.domain.traces import Traces
from app.storage.connection import Connection, fetch_one

# The record of an erasure may name what was erased.
_RECORD = ("kvitto", "access_log")
_SAMPLES = ("pg_catalog", "pg_stats")
# Sealed bodies and hashes are left out: their bytes show nothing. The planner's samples of values are a table, too.
_COLUMNS = """
    SELECT nspname::text AS schema, relname::text AS table, attname::text AS column
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE (relkind IN ('r', 'p', 'm') AND NOT relispartition
           AND nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')
           OR pg_class.oid = 'pg_catalog.pg_stats'::regclass)
      AND attnum > 0 AND NOT attisdropped AND atttypid <> 'bytea'::regtype
      AND has_table_privilege(pg_class.oid, 'SELECT')
    ORDER BY nspname, relname, attnum
"""
_CLEARS_SAMPLES = 180000
_CLEAR_SAMPLES = """
    SELECT pg_clear_attribute_stats('kvitto', relname::text, attname::text, inherited)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid CROSS JOIN unnest(ARRAY[false, true]) AS inherited
    WHERE relnamespace = 'kvitto'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
"""


class Found(NamedTuple):
    """A place that shows a trace, and in how many rows, entries or files."""

    where: str
    number: int


def search(connection: Connection, traces: Traces) -> list[Found]:
    """Return which columns of which tables show a trace; the catalogue lists the tables. It reads every row."""
    tables: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in connection.execute(_COLUMNS):
        tables[row.schema, row.table].append(row.column)
    found = []
    for table, columns in tables.items():
        if table == _RECORD:
            continue
        counts = SQL(", ").join(
            SQL("count(*) FILTER (WHERE {}::text ~ %(expression)s)").format(Identifier(column)) for column in columns
        )
        query = SQL("SELECT ARRAY[{}] AS counts FROM {}").format(counts, Identifier(*table))
        if table == _SAMPLES:
            query += SQL(" WHERE (schemaname, tablename) <> ({}, {})").format(*map(Literal, _RECORD))
        row = fetch_one(connection, query, {"expression": traces.expression})
        found += [
            Found(".".join((*table, column)), count) for column, count in zip(columns, row.counts, strict=True) if count
        ]
    return found


def vacuum(connection: Connection) -> None:
    """Remove the dead rows of all tables, and sample the values of the rows that are left.

    The server keeps the samples of a table that has become empty, so they are cleared first. Before PostgreSQL 18
    nothing can do that: they stay until the table has rows again, and `search` reports them.
    """
    if connection.info.server_version >= _CLEARS_SAMPLES:
        connection.execute(_CLEAR_SAMPLES)
    query = """
        SELECT relname::text FROM pg_class
        WHERE relnamespace = 'kvitto'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    """
    for (table,) in connection.execute(query).fetchall():
        connection.execute(SQL("VACUUM (ANALYZE) {}").format(Identifier("kvitto", table)))
