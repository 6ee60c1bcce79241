"""The ledger of one provider: takes deliveries in, each exactly once, in one transaction a batch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.pq import TransactionStatus

from app.domain.event import Entity, Event
from app.domain.outcome import Outcome, ProcessedDelivery
from app.domain.revisions import RevisionDecision, fold
from app.errors import StoreUnavailableError
from app.storage import canaries, dead_letters, events, freshness, projections, receipts
from app.storage.connection import Connection, connect, durability_errors, translate_errors

# How long a look at the server's settings is relied on.
_TRUSTED_SECONDS = 60.0

_Write = Callable[[Connection, Sequence[ProcessedDelivery], dict[UUID, Outcome]], None]


class Ledger:
    """Stores settlements. One connection, opened at first use and anew after it broke; not shared between threads."""

    def __init__(self, dsn: str, provider: str, allow_non_durable: bool = False) -> None:
        self._dsn = dsn
        self._provider = provider
        self._allow_non_durable = allow_non_durable
        self._connection: Connection | None = None
        self._trusted_until = 0.0

    def store(self, settlements: Sequence[ProcessedDelivery]) -> dict[UUID, Outcome]:
        """Take a batch in: receipts, events and current state, or nothing of it. Return the outcomes of new receipts.

        What the ledger has already is left alone, so that the same entries may be stored again and again.

        Raises:
            DataRejectedError: Some delivery's values; nothing was stored.
            StoreUnavailableError: Postgres; nothing was stored, or the answer to the commit was lost.
        """
        with self._turn() as connection:
            sifted = receipts.partition(connection, settlements)
            receipts.reassign(connection, sifted.earlier)
            outcomes = _settle(connection, sifted.fresh, receipts.insert, moved=sifted.earlier)
            receipts.record_duplicate_entries(connection, sifted.copies)
        return outcomes

    def replay(self, settlements: Sequence[ProcessedDelivery], dry_run: bool = False) -> dict[UUID, Outcome]:
        """Settle dead letters again, in their place in the order of receipt; return what became of each.

        Those that are no longer dead letters are left alone. A dry run undoes everything.
        """
        with self._turn(undo=dry_run) as connection:
            outcomes = _settle(connection, receipts.still_dead(connection, settlements), receipts.update_outcome)
            dead_letters.record_replayed(connection, outcomes)
            return outcomes

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Lend the ledger's connection: what a worker needs of Postgres besides."""
        with translate_errors():
            yield self._open()

    def check(self) -> None:
        """Raise StoreUnavailableError unless the server answers, on a connection that is made anew if need be."""
        with self.connected() as connection:
            connection.execute("SELECT 1")

    def record_freshness(self, look: freshness.Freshness) -> None:
        """Note what the inbox looked like, for dashboards to know how complete they are."""
        with self._turn() as connection:
            freshness.record(connection, self._provider, look)

    def record_canary(self, sent_at: datetime) -> None:
        """Note that a canary has come this far, on a delivery's own terms: it takes its turn like a batch."""
        with self._turn() as connection:
            canaries.record(connection, self._provider, sent_at)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    @contextmanager
    def _turn(self, undo: bool = False) -> Iterator[Connection]:
        """Open a transaction that has the provider to itself: stores of one provider follow each other.

        That makes folding safe and deadlocks impossible; opening and validating run in parallel before it.
        """
        with translate_errors():
            connection = self._open()
            # Statements whose results nobody waits for travel together: half the round trips of a batch.
            with connection.pipeline(), connection.transaction(force_rollback=undo):
                lock = f"kvitto/{self._provider}"
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
                yield connection

    def _open(self) -> Connection:
        """Return a connection fit for use, and checked lately: entries are deleted on the strength of its commits."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()  # broken, or interrupted in mid-statement by a time limit
            connection = None
        if connection is None:
            connection = self._connection = connect(self._dsn, f"ledger-{self._provider}")
            if connection.info.server_version >= 170_000:  # a transaction ends before a task's soft time limit, too
                connection.execute("SET transaction_timeout = '15s'")
            self._trusted_until = 0.0
        if not self._allow_non_durable and time.monotonic() > self._trusted_until:
            if faults := durability_errors(connection):
                raise StoreUnavailableError("postgres-not-durable", "; ".join(fault.name for fault in faults))
            self._trusted_until = time.monotonic() + _TRUSTED_SECONDS
        return connection


def _settle(
    connection: Connection,
    settlements: Sequence[ProcessedDelivery],
    write: _Write,
    moved: Sequence[ProcessedDelivery] = (),
) -> dict[UUID, Outcome]:
    """Fold the entities that the batch speaks of, and write what came of it.

    `moved` are receipts whose time was found to be an earlier one: their entities are folded anew.
    """
    valid = [settlement for settlement in settlements if isinstance(settlement.result, Event)]
    shifted = [settlement.event for settlement in moved if isinstance(settlement.result, Event)]
    concerned = [settlement.event for settlement in valid] + shifted
    histories = events.histories(connection, {event.entity for event in concerned})
    verdicts = _fold(histories, valid, {event.entity: event.horizon for event in concerned})
    outcomes = {each.receipt: Outcome.of(each.result, verdicts.get(each.receipt)) for each in settlements}
    write(connection, settlements, outcomes)
    dead_letters.insert(connection, outcomes)
    events.insert(connection, valid, verdicts)
    revised = [row for rows in histories.values() for row in rows if row.verdict != verdicts[row.occurrence.receipt]]
    events.revise(connection, revised, verdicts)
    changed = {row.entity for row in revised}
    changed |= {settlement.event.entity for settlement in valid if verdicts[settlement.receipt].revision}
    changed |= {event.entity for event in shifted}
    projections.rebuild(
        connection, [event for event in concerned if event.entity in changed and event.entity in histories]
    )
    fresh = [settlement for settlement in valid if settlement.event.entity not in histories]
    projections.insert_new(connection, events.revisions(fresh, verdicts))
    return outcomes


def _fold(
    histories: events.Histories, settlements: Sequence[ProcessedDelivery], horizons: Mapping[Entity, timedelta]
) -> dict[UUID, RevisionDecision]:
    """Judge every receipt of the entities concerned: those stored before and those of the batch."""
    occurrences = {entity: [row.occurrence for row in rows] for entity, rows in histories.items()}
    for settlement in settlements:
        occurrences.setdefault(settlement.event.entity, []).append(settlement.event_receipt)
    verdicts: dict[UUID, RevisionDecision] = {}
    for entity, found in occurrences.items():
        verdicts |= fold(found, horizons[entity])
    return verdicts
