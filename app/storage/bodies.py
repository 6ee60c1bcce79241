"""Sealed bodies: which are not yet under the newest key, and their replacement."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg.sql import SQL, Composed, Identifier

from app.storage.connection import Connection, fetch_one

_FIRST = UUID(int=0)
_SealedBody = tuple[UUID, bytes]
_OTHER_PREFIX = SQL("{column} IS NOT NULL AND substring({column}, 1, octet_length(%(prefix)b)) <> %(prefix)b")


class Place(NamedTuple):
    """A column of sealed bodies."""

    table: str
    column: str

    def compose(self, query: SQL) -> Composed:
        """Return a query of this column."""
        table, column = Identifier(self.table), Identifier(self.column)
        return query.format(table=table, column=column, other_prefix=_OTHER_PREFIX.format(column=column))


def places(connection: Connection) -> list[Place]:
    """Return every column of sealed bodies: a seal is bound to its receipt, so they are the bytes beside receipts."""
    query = """
        SELECT relname::text, attname::text FROM pg_class JOIN pg_attribute AS sealed ON attrelid = pg_class.oid
        WHERE relnamespace = 'kvitto'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND atttypid = 'bytea'::regtype AND NOT attisdropped
          AND relname <> 'reveal_requests'  -- what it holds is encrypted for who asked, and gone soon
          AND EXISTS (SELECT FROM pg_attribute AS beside WHERE beside.attrelid = sealed.attrelid
                      AND beside.attname = 'receipt' AND beside.atttypid = 'uuid'::regtype)
        ORDER BY 1, 2
    """
    return [Place(*row) for row in connection.execute(query)]


def count_excluding(connection: Connection, place: Place, prefix: bytes) -> int:
    """Count the bodies that do not begin with `prefix`."""
    query = place.compose(SQL("SELECT count(*) AS n FROM {table} WHERE {other_prefix}"))
    return int(fetch_one(connection, query, {"prefix": prefix}).n)


def select_excluding(connection: Connection, place: Place, prefix: bytes, after: UUID = _FIRST) -> list[_SealedBody]:
    """Return bodies that do not begin with `prefix`, in order of receipt id, beginning behind `after`.

    At most 500, and 16 MiB together; a larger one comes alone.
    """
    query = SQL("""
        SELECT receipt, sealed FROM (
            SELECT receipt, sealed, sum(octet_length(sealed)) OVER (ORDER BY receipt) - octet_length(sealed) AS before
            FROM (
                SELECT receipt, {column} AS sealed FROM {table} WHERE receipt > %(after)s AND {other_prefix}
                ORDER BY receipt LIMIT 500
            ) AS next
        ) AS summed WHERE before < 16 * 1024 * 1024 ORDER BY receipt
    """)
    return connection.execute(place.compose(query), {"prefix": prefix, "after": after}).fetchall()


def replace(connection: Connection, place: Place, bodies: Sequence[_SealedBody]) -> None:
    """Replace the bodies of receipts; one that was removed in the meantime stays removed."""
    query = SQL("""
        UPDATE {table} SET {column} = fresh.sealed FROM unnest(%s::uuid[], %b::bytea[]) AS fresh (receipt, sealed)
        WHERE {table}.receipt = fresh.receipt AND {table}.{column} IS NOT NULL
    """)
    connection.execute(place.compose(query), [[receipt for receipt, _ in bodies], [sealed for _, sealed in bodies]])
