"""The ledger's side of the conservation audit: which entries it has, and which still wait."""

from dataclasses import dataclass
from uuid import UUID

from app.domain.delivery import StreamId
from app.storage.connection import Connection, fetch_one
from app.storage.overflow import EPOCH


@dataclass(frozen=True, slots=True)
class EntryCounts:
    """Entries of an inbox or of the overflow, each counted once.

    receipts: entries that became receipts. copies: further entries of a receipt. in_flight: entries that were seen
    waiting and are neither.
    """

    receipts: int
    copies: int
    in_flight: int

    @property
    def known(self) -> int:
        """Entries that are accounted for."""
        return self.receipts + self.copies + self.in_flight


def entry_counts(
    connection: Connection, provider: str, current: UUID, until: StreamId, waiting: list[StreamId]
) -> dict[UUID, EntryCounts]:
    """Count the entries of every epoch of an inbox, in one snapshot taken after `waiting` was read.

    Of the current epoch entries up to `until` count; of other epochs all count, and none can wait any more.
    """
    rows = connection.execute(
        """
        SELECT epoch, count(*) FILTER (WHERE kind = 'receipt') AS receipts,
               count(*) FILTER (WHERE kind = 'copy') AS copies,
               count(*) FILTER (WHERE kind = 'in flight') AS in_flight
        FROM (
            SELECT epoch, 'receipt' AS kind FROM receipts
            WHERE provider = %(provider)s AND epoch <> %(overflow)s
              AND (epoch <> %(current)s OR (received_at, seq) <= (%(until)s, %(seq)s))
            UNION ALL
            SELECT epoch, 'copy' FROM duplicate_entries
            WHERE provider = %(provider)s AND epoch <> %(overflow)s
              AND (epoch <> %(current)s OR (received_at, seq) <= (%(until)s, %(seq)s))
            UNION ALL
            SELECT %(current)s, 'in flight'
            FROM unnest(%(times)s::timestamptz[], %(seqs)s::bigint[]) AS waiting (received_at, seq)
            WHERE NOT EXISTS (SELECT FROM receipts AS entry
                              WHERE provider = %(provider)s AND epoch = %(current)s
                                AND entry.received_at = waiting.received_at AND entry.seq = waiting.seq)
              AND NOT EXISTS (SELECT FROM duplicate_entries AS entry
                              WHERE provider = %(provider)s AND epoch = %(current)s
                                AND entry.received_at = waiting.received_at AND entry.seq = waiting.seq)
        ) AS entries
        GROUP BY epoch
        """,
        {
            "provider": provider,
            "overflow": EPOCH,
            "current": current,
            "until": until.received_at,
            "seq": until.seq,
            "times": [stream_id.received_at for stream_id in waiting],
            "seqs": [stream_id.seq for stream_id in waiting],
        },
    )
    return {row.epoch: EntryCounts(row.receipts, row.copies, row.in_flight) for row in rows}


@dataclass(frozen=True, slots=True)
class OverflowCounts:
    """The rows of the overflow: each is a receipt, a copy of one, or waits."""

    rows: int
    entries: EntryCounts


def overflow_counts(connection: Connection, provider: str) -> OverflowCounts:
    """Count the rows of the overflow, in one snapshot."""
    row = fetch_one(
        connection,
        """
        WITH ledger AS (
            SELECT received_at, seq, false AS copy FROM receipts WHERE provider = %(provider)s AND epoch = %(epoch)s
            UNION ALL
            SELECT received_at, seq, true FROM duplicate_entries WHERE provider = %(provider)s AND epoch = %(epoch)s
        ), matched AS (
            SELECT ledger.copy, overflow.ciphertext IS NOT NULL AS waiting
            FROM overflow LEFT JOIN ledger USING (received_at, seq) WHERE provider = %(provider)s
        )
        SELECT count(*) AS rows, count(*) FILTER (WHERE NOT copy) AS receipts, count(*) FILTER (WHERE copy) AS copies,
               count(*) FILTER (WHERE copy IS NULL AND waiting) AS in_flight
        FROM matched
        """,
        {"provider": provider, "epoch": EPOCH},
    )
    return OverflowCounts(row.rows, EntryCounts(row.receipts, row.copies, row.in_flight))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A provider's receipts by outcome, counted row by row; `miscounted`: the counts for dashboards differ."""

    stored: int
    duplicate: int
    dead: int
    miscounted: bool


def outcomes(connection: Connection, provider: str) -> Outcomes:
    """Count a provider's receipts and compare them with receipt_counts, in one snapshot."""
    row = fetch_one(
        connection,
        """
        WITH counted AS (
            SELECT outcome, count(*) AS receipts FROM receipts WHERE provider = %(provider)s GROUP BY outcome
        ), kept AS (
            SELECT outcome, receipts AS kept_count FROM receipt_counts WHERE provider = %(provider)s
        )
        SELECT coalesce(sum(receipts) FILTER (WHERE outcome = 'stored'), 0)::bigint AS stored,
               coalesce(sum(receipts) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
               coalesce(sum(receipts) FILTER (WHERE outcome = 'dead'), 0)::bigint AS dead,
               coalesce(bool_or(coalesce(receipts, 0) <> coalesce(kept_count, 0)), false) AS miscounted
        FROM counted FULL JOIN kept USING (outcome)
        """,
        {"provider": provider},
    )
    return Outcomes(row.stored, row.duplicate, row.dead, row.miscounted)
