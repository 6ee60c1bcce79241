"""The ledger's side of the conservation audit: its entries and those that wait, results, and accepted losses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.delivery import StreamId
from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection, columns, fetch_one
from app.storage.overflow import EPOCH

# How often the log repeats that entries are missing, while their number stays the same.
_REPEAT_SECONDS = 300
# Where an entry of an inbox is: its epoch and its stream id.
Place = tuple[UUID, StreamId]


class EntryCounts(NamedTuple):
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


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Have all queries of a block see the ledger at one moment."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def in_flight(connection: Connection, provider: str, waiting: Sequence[Place]) -> list[Place]:
    """Return those of the entries that were seen waiting which the ledger lacks."""
    if not waiting:
        return []
    query = """
        SELECT number
        FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[]) WITH ORDINALITY
          AS waiting (epoch, received_at, seq, number)
        WHERE NOT EXISTS (SELECT FROM receipts AS entry
                          WHERE entry.provider = %s AND entry.epoch = waiting.epoch
                            AND entry.received_at = waiting.received_at AND entry.seq = waiting.seq)
          AND NOT EXISTS (SELECT FROM duplicate_entries AS entry
                          WHERE entry.provider = %s AND entry.epoch = waiting.epoch
                            AND entry.received_at = waiting.received_at AND entry.seq = waiting.seq)
    """
    rows = connection.execute(query, [*_columns(waiting), provider, provider])
    return [waiting[row.number - 1] for row in rows]


def entry_counts(connection: Connection, provider: str) -> dict[UUID, tuple[int, int]]:
    """Return how many entries of each epoch of an inbox are receipts, and how many are copies of one."""
    query = """
        SELECT epoch, count(*) FILTER (WHERE NOT copy) AS receipts, count(*) FILTER (WHERE copy) AS copies
        FROM (
            SELECT epoch, false AS copy FROM receipts WHERE provider = %(provider)s AND epoch <> %(overflow)s
            UNION ALL
            SELECT epoch, true FROM duplicate_entries WHERE provider = %(provider)s AND epoch <> %(overflow)s
        ) AS entries
        GROUP BY epoch
    """
    rows = connection.execute(query, {"provider": provider, "overflow": EPOCH})
    return {row.epoch: (row.receipts, row.copies) for row in rows}


def entries_after(connection: Connection, provider: str, places: Sequence[Place]) -> list[int]:
    """Return how many entries of its epoch the ledger holds after each place."""
    query = "SELECT entries FROM entries_after(%s, %s::uuid[], %s::timestamptz[], %s::bigint[]) ORDER BY number"
    return [row.entries for row in connection.execute(query, [provider, *_columns(places)])]


def _columns(places: Sequence[Place]) -> list[list[Any]]:
    return columns((epoch, stream_id.received_at, stream_id.seq) for epoch, stream_id in places)


def overflow_counts(connection: Connection, provider: str) -> tuple[int, EntryCounts]:
    """Count the rows of the overflow, in one snapshot: all, and those that are a receipt, a copy of one, or wait."""
    query = """
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
    """
    row = fetch_one(connection, query, {"provider": provider, "epoch": EPOCH})
    return row.rows, EntryCounts(*row[1:])


class Outcomes(NamedTuple):
    """A provider's receipts by outcome, counted row by row; `miscounted`: the counts for dashboards differ."""

    stored: int
    duplicate: int
    dead: int
    discarded: int
    miscounted: bool


def outcomes(connection: Connection, provider: str) -> Outcomes:
    """Count a provider's receipts and compare them with receipt_counts, in one snapshot."""
    query = """
        WITH counted AS (
            SELECT outcome, count(*) AS receipts FROM receipts WHERE provider = %(provider)s GROUP BY outcome
        ), kept AS (
            SELECT outcome, receipts AS kept_count FROM receipt_counts WHERE provider = %(provider)s
        )
        SELECT coalesce(sum(receipts) FILTER (WHERE outcome = 'stored'), 0)::bigint AS stored,
               coalesce(sum(receipts) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
               coalesce(sum(receipts) FILTER (WHERE outcome = 'dead'), 0)::bigint AS dead,
               coalesce(sum(receipts) FILTER (WHERE outcome = 'discarded'), 0)::bigint AS discarded,
               coalesce(bool_or(coalesce(receipts, 0) <> coalesce(kept_count, 0)), false) AS miscounted
        FROM counted FULL JOIN kept USING (outcome)
    """
    return Outcomes(*fetch_one(connection, query, {"provider": provider}))


def record(connection: Connection, account: dict[str, Any]) -> bool:
    """Record an audit, a value per column; return whether the log has to report missing entries now."""
    query = """
        INSERT INTO audits AS kept (provider, audited_at, appended, overflowed, receipts, copies, in_flight,
                                    accepted_loss, missing, alerted_at)
        SELECT %(provider)s, now, %(appended)s, %(overflowed)s, %(receipts)s, %(copies)s, %(in_flight)s,
               %(accepted_loss)s, %(missing)s, CASE WHEN %(missing)s::bigint <> 0 THEN now END
        FROM clock_timestamp() AS now
        ON CONFLICT (provider) DO UPDATE
        SET (audited_at, appended, overflowed, receipts, copies, in_flight, accepted_loss, missing, alerted_at)
          = (excluded.audited_at, excluded.appended, excluded.overflowed, excluded.receipts, excluded.copies,
             excluded.in_flight, excluded.accepted_loss, excluded.missing,
             CASE WHEN kept.missing = excluded.missing
                   AND kept.alerted_at > excluded.audited_at - make_interval(secs => %(repeat)s)
                  THEN kept.alerted_at ELSE excluded.alerted_at END)
        RETURNING missing <> 0 AND alerted_at = audited_at AS is_alert_due
    """
    return bool(fetch_one(connection, query, account | {"repeat": _REPEAT_SECONDS}).is_alert_due)


class Loss(NamedTuple):
    """How many entries an epoch lost."""

    provider: str
    epoch: UUID
    entries: int


def accept(connection: Connection, loss: Loss, reason: str, operator: str) -> None:
    """Record that an operator accepts a loss; entries lost beyond it stay missing."""
    with connection.transaction():
        query = "INSERT INTO accepted_losses (provider, epoch, entries) VALUES (%s, %s, %s)"
        connection.execute(query, loss)
        subject = f"epoch {loss.epoch}, {loss.entries} entries"
        access_log.record(connection, Access("loss-accepted", operator, reason, loss.provider, subject=subject))


def accepted(connection: Connection, provider: str) -> dict[UUID, int]:
    """Return how many lost entries of each epoch were accepted."""
    query = "SELECT epoch, sum(entries)::bigint FROM accepted_losses WHERE provider = %s GROUP BY epoch"
    return dict(connection.execute(query, [provider]))
