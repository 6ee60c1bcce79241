"""The ledger's side of the audit: which entries of an inbox it has taken in."""

from dataclasses import dataclass
from uuid import UUID

from app.delivery import Position
from app.storage.connection import Connection
from app.storage.overflow import EPOCH


@dataclass(frozen=True, slots=True)
class Accounts:
    """Entries of an inbox as the ledger sees them.

    receipts: they are receipts; copies: they are further entries of one; unsettled: of those that
    were seen waiting, the ones that are neither.
    """

    receipts: int
    copies: int
    unsettled: int


def accounts(connection: Connection, provider: str, epoch: UUID, until: Position, waiting: list[Position]) -> Accounts:
    """Account for all entries up to `until`, in one snapshot taken after `waiting` was read."""
    row = connection.execute(
        """
        WITH taken AS (
            SELECT received_at, seq, false AS copy FROM receipts WHERE provider = %(provider)s AND epoch = %(epoch)s
            UNION ALL
            SELECT received_at, seq, true FROM copies WHERE provider = %(provider)s AND epoch = %(epoch)s
        )
        SELECT (SELECT count(*) FROM taken WHERE NOT copy AND (received_at, seq) <= (%(until)s, %(seq)s)) AS receipts,
               (SELECT count(*) FROM taken WHERE copy AND (received_at, seq) <= (%(until)s, %(seq)s)) AS copies,
               (SELECT count(*) FROM (
                   SELECT * FROM unnest(%(times)s::timestamptz[], %(seqs)s::bigint[])
                   EXCEPT SELECT received_at, seq FROM taken) AS left_over) AS unsettled
        """,
        {
            "provider": provider,
            "epoch": epoch,
            "until": until.received_at,
            "seq": until.seq,
            "times": [position.received_at for position in waiting],
            "seqs": [position.seq for position in waiting],
        },
    ).fetchone()
    assert row is not None  # noqa: S101 - aggregates return one row
    return Accounts(row.receipts, row.copies, row.unsettled)


@dataclass(frozen=True, slots=True)
class Overflowed:
    """The overflow's books: every row is a receipt, a copy of one, or waits still."""

    rows: int
    accounts: Accounts


def overflowed(connection: Connection, provider: str) -> Overflowed:
    """Account for everything that came by the overflow, in one snapshot."""
    row = connection.execute(
        """
        WITH taken AS (
            SELECT received_at, seq, false AS copy FROM receipts WHERE provider = %(provider)s AND epoch = %(epoch)s
            UNION ALL
            SELECT received_at, seq, true FROM copies WHERE provider = %(provider)s AND epoch = %(epoch)s
        ), matched AS (
            SELECT taken.copy, overflow.sealed IS NOT NULL AS waiting
            FROM overflow LEFT JOIN taken USING (received_at, seq) WHERE provider = %(provider)s
        )
        SELECT count(*) AS rows, count(*) FILTER (WHERE NOT copy) AS receipts, count(*) FILTER (WHERE copy) AS copies,
               count(*) FILTER (WHERE copy IS NULL AND waiting) AS unsettled
        FROM matched
        """,
        {"provider": provider, "epoch": EPOCH},
    ).fetchone()
    assert row is not None  # noqa: S101 - aggregates return one row
    return Overflowed(row.rows, Accounts(row.receipts, row.copies, row.unsettled))


def outcomes(connection: Connection) -> dict[str, dict[str, int]]:
    """Return per provider how many receipts have which outcome."""
    rows = connection.execute("SELECT provider, stored, duplicate, dead FROM reporting.conservation")
    return {row.provider: {"stored": row.stored, "duplicate": row.duplicate, "dead": row.dead} for row in rows}
