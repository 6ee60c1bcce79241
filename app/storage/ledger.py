"""The ledger of one provider: stores deliveries, each exactly once, one transaction per batch."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from psycopg.pq import TransactionStatus

from app.domain.event import Entity, Event, Projection
from app.domain.outcome import ERASED, Outcome, ProcessedDelivery
from app.domain.revisions import RevisionDecision, fold
from app.errors import StoreUnavailableError
from app.storage import access_log, dead_letters, erasure, events, feed, late_retries, periods, receipts
from app.storage.access_log import Access
from app.storage.connection import MISCONFIGURED, Connection, borrow, connect
from app.storage.usability import require_durable, require_privileges
from config.environment import ConfigurationError

# How long a check of server and session is relied on.
_CHECK_SECONDS = 60.0

_WriteReceipts = Callable[[Connection, Sequence[ProcessedDelivery], dict[UUID, Outcome]], None]


class Ledger:
    """Stores processed deliveries. Has one connection, opened at first use and again after it broke.

    `exceptions` are settings of the server that need not be durable, as `postgres.setting`. Not for use by several
    threads.
    """

    def __init__(self, dsn: str, provider: str, exceptions: Collection[str] = ()) -> None:
        self._dsn = dsn
        self.provider = provider
        self._exceptions = exceptions
        self._connection: Connection | None = None
        self._trusted_until = 0.0

    def store(self, deliveries: Sequence[ProcessedDelivery]) -> dict[UUID, Outcome]:
        """Store a batch: receipts, events and current state, or nothing of it. Return the outcomes of new receipts.

        What the ledger has already stays as it is, so that the same entries may be stored any number of times.

        Raises:
            DataRejectedError: Postgres rejected the values of a delivery; nothing was stored.
            StoreUnavailableError: Postgres failed; nothing was stored, or the answer to the commit was lost.
        """
        with self.turn() as connection:
            fresh, earlier, further = receipts.partition(connection, deliveries)
            receipts.reassign(connection, earlier)
            outcomes = dict.fromkeys(erasure.repeats(connection, fresh), Outcome("duplicate", ERASED))
            receipts.insert(connection, [each for each in fresh if each.receipt in outcomes], outcomes)
            fresh = [each for each in fresh if each.receipt not in outcomes]
            outcomes |= _store(connection, self.provider, fresh, receipts.insert, refolded=earlier)
            receipts.record_duplicate_entries(connection, further)
        return outcomes

    def accept(self, delivery: ProcessedDelivery, reason: str, operator: str) -> None:
        """Turn a late retry into a revision, because an operator found that the entity changed back.

        Raises:
            LookupError: The receipt is no late retry by its time, or an operator decided about it before.
        """
        with self.turn() as connection:
            late_retries.record(connection, delivery.receipt, True, operator, reason)
            _store(connection, self.provider, [], receipts.insert, refolded=[delivery])

    def replay(
        self, deliveries: Sequence[ProcessedDelivery], dry_run: bool = False, access: Access | None = None
    ) -> dict[UUID, Outcome]:
        """Store dead letters again, in their place in the order of receipt; return their outcomes.

        Receipts that are no longer dead letters stay as they are. A dry run rolls everything back. `access` is logged
        for each receipt.
        """
        with self.turn(undo=dry_run) as connection:
            dead = receipts.still_dead(connection, deliveries)
            outcomes = _store(connection, self.provider, dead, receipts.update_outcome)
            dead_letters.record_replayed(connection, outcomes)
            if access is not None:
                access_log.record_each(connection, access, list(outcomes))
            return outcomes

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield the ledger's connection, for whatever else a worker needs of Postgres."""
        connection = self._open()
        with borrow(connection):
            yield connection

    def check(self) -> None:
        """Raise StoreUnavailableError unless the server answers, on a new connection if the old one broke."""
        with self.connected() as connection:
            connection.execute("SELECT 1")

    def close_periods(self) -> None:
        """Close the periods that can end by now, so that audits no longer count what is in them."""
        with self.connected() as connection:
            ends, has_empty = periods.ends(connection, self.provider), periods.has_empty(connection, self.provider)
        if ends or has_empty:
            with self.turn() as connection:
                periods.close(connection, self.provider, ends)

    def record_freshness(self, pending: int, complete_until: datetime, clock_skew_seconds: float) -> None:
        """Record how many deliveries wait, and the watermark: everything received before it is in the ledger.

        The watermark never goes back, unless the server's clock was set back. `clock_skew_seconds`: by how much the
        clock of Redis is ahead.
        """
        with self.turn() as connection:
            query = """
                INSERT INTO ingest_progress AS kept (provider, complete_until, pending, clock_skew_seconds)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (provider) DO UPDATE
                SET complete_until = least(greatest(kept.complete_until, excluded.complete_until), clock_timestamp()),
                    pending = excluded.pending, observed_at = excluded.observed_at,
                    clock_skew_seconds = excluded.clock_skew_seconds
            """
            connection.execute(query, [self.provider, complete_until, pending, clock_skew_seconds])

    def record_canary(self, sent_at: datetime) -> None:
        """Record a canary, unless a newer one is recorded. It waits for its turn like a batch, to measure the same.

        A time in the future, by this server's clock, counts as now: a sender whose clock is ahead cannot make canaries
        look younger than they are, and cannot hide those sent after its clock was corrected.
        """
        with self.turn() as connection:
            query = """
                INSERT INTO canaries (provider, sent_at) VALUES (%s, least(%s, clock_timestamp()))
                ON CONFLICT (provider) DO UPDATE SET sent_at = excluded.sent_at, stored_at = excluded.stored_at
                -- Or this server's clock was set back.
                WHERE canaries.sent_at < excluded.sent_at OR canaries.sent_at > clock_timestamp()
            """
            connection.execute(query, [self.provider, sent_at])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    @contextmanager
    def turn(self, undo: bool = False) -> Iterator[Connection]:
        """Open a transaction that locks the provider: its stores follow each other.

        That makes folding safe and deadlocks impossible; opening and validating run in parallel before it.
        """
        connection = self._open()
        # Statements whose results nobody waits for travel together: half the round trips of a batch.
        with borrow(connection), connection.pipeline(), connection.transaction(force_rollback=undo):
            if connection.info.server_version >= 170_000:  # it ends before a task's soft time limit, too
                connection.execute("SET LOCAL transaction_timeout = '15s'")
            lock = f"kvitto/{self.provider}"
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
            yield connection

    def _open(self) -> Connection:
        """Return a usable connection, to a server checked lately: entries are deleted because it confirmed a commit."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()  # broken, or interrupted in mid-statement by a time limit
            connection = None
        if connection is None:
            try:
                connection = self._connection = connect(self._dsn, f"ledger-{self.provider}")
            except ConfigurationError as error:  # the start found none of it, so somebody changed a server
                raise StoreUnavailableError(MISCONFIGURED, error.faults[0].message) from error
            self._trusted_until = 0.0
        if time.monotonic() > self._trusted_until:
            with borrow(connection):
                require_durable(connection, self._exceptions)
                require_privileges(connection, "worker")
            self._trusted_until = time.monotonic() + _CHECK_SECONDS
        return connection


def _store(
    connection: Connection,
    provider: str,
    deliveries: Sequence[ProcessedDelivery],
    write_receipts: _WriteReceipts,
    refolded: Sequence[ProcessedDelivery] = (),
) -> dict[UUID, Outcome]:
    """Fold the entities that the batch is about, and write receipts, events, projections and the feed.

    `refolded` are receipts that got an earlier time, or were accepted: their entities are folded again.
    """
    valid = [delivery for delivery in deliveries if isinstance(delivery.result, Event)]
    moved = [delivery.event for delivery in refolded if isinstance(delivery.result, Event)]
    concerned = {event.entity: event for event in (*moved, *(delivery.event for delivery in valid))}
    stored, returning = events.select(connection, concerned), erasure.returning(connection, valid)
    new = [events.Row.of(delivery, delivery.receipt in returning) for delivery in valid]
    rows: dict[Entity, list[events.Row]] = defaultdict(list)
    for row in (*stored, *new):
        rows[row.entity].append(row)
    decisions: dict[UUID, RevisionDecision] = {}
    for entity, of_entity in rows.items():
        decisions |= fold([row.event_receipt for row in of_entity], concerned[entity].schedule)
    outcomes = {item.receipt: Outcome.of(item.result, decisions.get(item.receipt)) for item in deliveries}

    write_receipts(connection, deliveries, outcomes)
    dead_letters.upsert(connection, outcomes)
    revised = [row for row in stored if row.decision != decisions[row.event_receipt.receipt]]
    announced = [
        row.event_receipt for row in (*new, *revised) if row.changes_feed(decisions[row.event_receipt.receipt])
    ]
    in_order = [each.receipt for each in sorted(announced, key=attrgetter("order"))]
    positions = feed.take_positions(connection, provider, in_order)
    events.insert(connection, new, decisions, positions)
    events.update_decisions(connection, revised, decisions, positions)

    changed = {row.entity for row in revised} | {event.entity for event in moved}
    changed |= {row.entity for row in new if decisions[row.event_receipt.receipt].revision}
    by_table: dict[Projection, list[events.Row]] = defaultdict(list)
    for entity in changed & rows.keys():
        if projection := concerned[entity].projection:
            by_table[projection] += rows[entity]
    for projection, of_table in by_table.items():
        events.replace_rows(connection, projection, of_table, decisions)
    return outcomes
