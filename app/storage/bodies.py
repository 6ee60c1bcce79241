"""Sealed bodies: which are not yet under the newest key, and their replacement."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.sql import SQL, Identifier

from app.storage.connection import Connection, fetch_one

# Where sealed bodies are kept: for good, and until the ledger has them.
TABLES = ("bodies", "overflow")
_FIRST = UUID(int=0)
_SealedBody = tuple[UUID, bytes]
_OTHER_PREFIX = SQL("ciphertext IS NOT NULL AND substring(ciphertext, 1, octet_length(%(prefix)b)) <> %(prefix)b")


def count_excluding(connection: Connection, table: str, prefix: bytes) -> int:
    """Count the bodies that do not begin with `prefix`."""
    query = SQL("SELECT count(*) AS n FROM {} WHERE {}").format(Identifier(table), _OTHER_PREFIX)
    return int(fetch_one(connection, query, {"prefix": prefix}).n)


def select_excluding(connection: Connection, table: str, prefix: bytes, after: UUID = _FIRST) -> list[_SealedBody]:
    """Return bodies that do not begin with `prefix`, in order of receipt id, beginning behind `after`.

    At most 500, and 16 MiB together; a larger one comes alone.
    """
    query = SQL("""
        SELECT receipt, ciphertext FROM (
            SELECT receipt, ciphertext,
                   sum(octet_length(ciphertext)) OVER (ORDER BY receipt) - octet_length(ciphertext) AS before
            FROM (
                SELECT receipt, ciphertext FROM {} WHERE receipt > %(after)s AND {} ORDER BY receipt LIMIT 500
            ) AS next
        ) AS summed WHERE before < 16 * 1024 * 1024 ORDER BY receipt
    """).format(Identifier(table), _OTHER_PREFIX)
    return connection.execute(query, {"prefix": prefix, "after": after}).fetchall()


def replace(connection: Connection, table: str, bodies: Sequence[_SealedBody]) -> None:
    """Replace the bodies of receipts; one that was removed in the meantime stays removed."""
    query = SQL("""
        UPDATE {0} SET ciphertext = fresh.ciphertext FROM unnest(%s::uuid[], %b::bytea[]) AS fresh (receipt, ciphertext)
        WHERE {0}.receipt = fresh.receipt AND {0}.ciphertext IS NOT NULL
    """).format(Identifier(table))
    connection.execute(query, [[receipt for receipt, _ in bodies], [ciphertext for _, ciphertext in bodies]])
