"""Sealed bodies, wherever they rest: sealed anew when a key is retired."""

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql

from app.storage.connection import Connection

# Where sealed bodies rest: for good, and until a worker takes them.
TABLES = ("bodies", "overflow")
_FIRST = UUID(int=0)
_Sealed = tuple[UUID, bytes]
_BUT = sql.SQL("ciphertext IS NOT NULL AND substring(ciphertext FROM 1 FOR octet_length(%(prefix)b)) <> %(prefix)b")


def count_but(connection: Connection, table: str, prefix: bytes) -> int:
    """Count the bodies that do not begin with `prefix`."""
    query = sql.SQL("SELECT count(*) AS n FROM {} WHERE {}").format(sql.Identifier(table), _BUT)
    row = connection.execute(query, {"prefix": prefix}).fetchone()
    assert row is not None  # noqa: S101 - aggregates return one row
    return int(row.n)


def portion_but(connection: Connection, table: str, prefix: bytes, after: UUID = _FIRST) -> list[_Sealed]:
    """Return some receipts beyond `after`, in order, whose bodies do not begin with `prefix`; 16 MiB or one of them."""
    query = sql.SQL(
        """
        SELECT receipt, ciphertext FROM (
            SELECT receipt, ciphertext,
                   sum(octet_length(ciphertext)) OVER (ORDER BY receipt) - octet_length(ciphertext) AS before
            FROM (
                SELECT receipt, ciphertext FROM {} WHERE receipt > %(after)s AND {} ORDER BY receipt LIMIT 500
            ) AS next
        ) AS summed WHERE before < 16 * 1024 * 1024 ORDER BY receipt
        """
    ).format(sql.Identifier(table), _BUT)
    rows = connection.execute(query, {"prefix": prefix, "after": after})
    return [(row.receipt, row.ciphertext) for row in rows]


def replace(connection: Connection, table: str, bodies: Sequence[_Sealed]) -> None:
    """Put bodies in the place of those that their receipts have; one that is gone meanwhile stays gone."""
    query = sql.SQL(
        """
        UPDATE {0} SET ciphertext = fresh.ciphertext FROM unnest(%s::uuid[], %b::bytea[]) AS fresh (receipt, ciphertext)
        WHERE {0}.receipt = fresh.receipt AND {0}.ciphertext IS NOT NULL
        """
    ).format(sql.Identifier(table))
    connection.execute(query, [[receipt for receipt, _ in bodies], [sealed for _, sealed in bodies]])
