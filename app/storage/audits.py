"""The ledger's side of the conservation audit: its entries and those that wait, results, and accepted losses."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.delivery import StreamId, WaitingEntry
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
        # Before the snapshot is taken, so that no month of receipts moves from one place to another in between.
        connection.execute("LOCK TABLE ONLY receipts, ONLY retired_receipts IN ACCESS SHARE MODE")
        yield


def in_flight(connection: Connection, provider: str, waiting: Sequence[WaitingEntry]) -> list[WaitingEntry]:
    """Return those of the entries that were seen waiting which the ledger lacks."""
    if not waiting:
        return []
    query = """
        SELECT number
        FROM unnest(%b::uuid[], %b::timestamptz[], %b::bigint[], %b::uuid[]) WITH ORDINALITY
          AS waiting (epoch, received_at, seq, receipt, number)
        WHERE NOT EXISTS (SELECT FROM entries AS entry
                          WHERE entry.receipt = waiting.receipt
                            AND entry.provider = %s AND entry.epoch = waiting.epoch
                            AND entry.received_at = waiting.received_at AND entry.seq = waiting.seq)
    """
    places = ((entry.epoch, entry.stream_id.received_at, entry.stream_id.seq, entry.receipt) for entry in waiting)
    rows = connection.execute(query, [*columns(places), provider])
    return [waiting[row.number - 1] for row in rows]


class LedgerCounts(NamedTuple):
    """A provider's entries that the ledger holds or held, and its overflow.

    epochs: receipts and copies of each epoch of the inbox, without the entries that wait.
    overflow_rows: rows that were ever written; overflow: those that are a receipt, a copy, or wait.
    outcomes: receipts by outcome, of both stores.
    """

    epochs: Mapping[UUID, EntryCounts]
    overflow_rows: int
    overflow: EntryCounts
    outcomes: Mapping[str, int]


def ledger_counts(connection: Connection, provider: str) -> LedgerCounts:
    """Count a provider's entries: what was counted before is added up, and only what is new is read row by row."""
    by_epoch: dict[UUID, Counter[str]] = defaultdict(Counter)
    outcomes: Counter[str] = Counter()
    for row in connection.execute("SELECT epoch, kind, entries FROM entry_counts(%s)", [provider]):
        by_epoch[row.epoch][row.kind] = row.entries
    of_overflow = by_epoch.pop(EPOCH, Counter())
    rows, unmatched = of_overflow.pop("overflow", 0), of_overflow.pop("unmatched", 0)
    for counts in (of_overflow, *by_epoch.values()):
        outcomes += Counter({kind: entries for kind, entries in counts.items() if kind != "copy"})
    copies = min(of_overflow["copy"], rows - unmatched)
    in_flight = min(_waiting_in_overflow(connection, provider), unmatched)
    return LedgerCounts(
        epochs={
            epoch: EntryCounts(counts.total() - counts["copy"], counts["copy"], 0) for epoch, counts in by_epoch.items()
        },
        overflow_rows=rows,
        overflow=EntryCounts(rows - unmatched - copies, copies, in_flight),
        outcomes=outcomes,
    )


def _waiting_in_overflow(connection: Connection, provider: str) -> int:
    """Return how many rows of the overflow wait that the ledger lacks."""
    query = """
        SELECT count(*) AS waiting FROM overflow
        WHERE provider = %(provider)s AND ciphertext IS NOT NULL
          AND NOT EXISTS (SELECT FROM entries AS entry
                          WHERE entry.receipt = overflow.receipt
                            AND entry.provider = overflow.provider AND entry.epoch = %(epoch)s
                            AND entry.received_at = overflow.received_at AND entry.seq = overflow.seq)
    """
    return int(fetch_one(connection, query, {"provider": provider, "epoch": EPOCH}).waiting)


def entries_after(connection: Connection, provider: str, places: Sequence[Place]) -> list[int]:
    """Return how many entries of its epoch the ledger holds after each place."""
    query = "SELECT entries FROM entries_after(%s, %s::uuid[], %s::timestamptz[], %s::bigint[]) ORDER BY number"
    rows = columns((epoch, stream_id.received_at, stream_id.seq) for epoch, stream_id in places)
    return [row.entries for row in connection.execute(query, [provider, *rows])]


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


def all_accepted(connection: Connection) -> list[dict[str, Any]]:
    """Return the losses that operators accepted, by epoch; the access log has who, when and why."""
    query = """
        SELECT provider, epoch, sum(entries)::bigint AS entries FROM accepted_losses
        GROUP BY provider, epoch ORDER BY provider, epoch
    """
    return [row._asdict() for row in connection.execute(query)]


def accepted(connection: Connection, provider: str) -> dict[UUID, int]:
    """Return how many lost entries of each epoch were accepted."""
    query = "SELECT epoch, sum(entries)::bigint FROM accepted_losses WHERE provider = %s GROUP BY epoch"
    return dict(connection.execute(query, [provider]))
