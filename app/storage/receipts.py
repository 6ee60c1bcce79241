"""Receipts: a row for every delivery that was answered 200, and its sealed body."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.delivery import ReceivedDelivery
from app.domain.outcome import ERASED, Outcome, ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.storage.connection import Connection, columns
from app.storage.overflow import to_received

# Where an entry is, in order of receipt: time, epoch, number within the millisecond.
_Position = tuple[datetime, UUID, int]
_Deliveries = Sequence[ProcessedDelivery]


def _position(delivery: ProcessedDelivery) -> _Position:
    received = delivery.received
    return received.received_at, received.epoch, received.stream_id.seq


def partition(connection: Connection, deliveries: _Deliveries) -> tuple[_Deliveries, _Deliveries, _Deliveries]:
    """Partition a batch by what the ledger has of it, into three lists.

    1. Deliveries that the ledger lacks.
    2. Entries of a receipt before the entry that the ledger has. A receipt has several entries if the answer to an
       append was lost and the delivery was appended again.
    3. Further entries of a receipt, behind the entry that the ledger has.

    An entry that the ledger has (its acknowledgement was lost) is left out.
    """
    query = "SELECT receipt, epoch, received_at, seq, outcome FROM receipts WHERE receipt = ANY(%b)"
    rows = connection.execute(query, [[delivery.receipt for delivery in deliveries]]).fetchall()
    valid = {row.receipt for row in rows if row.outcome not in ("dead", "discarded")}
    positions: dict[UUID, _Position] = {row.receipt: (row.received_at, row.epoch, row.seq) for row in rows}
    known = set(positions.values())
    if positions:
        query = "SELECT received_at, epoch, seq FROM duplicate_entries WHERE receipt = ANY(%s)"
        known.update(map(tuple, connection.execute(query, [list(positions)])))
    fresh: list[ProcessedDelivery] = []
    earlier: list[ProcessedDelivery] = []
    further: list[ProcessedDelivery] = []
    for delivery in sorted(deliveries, key=_position):
        position, receipt = _position(delivery), delivery.receipt
        if receipt not in positions:
            positions[receipt] = position
            fresh.append(delivery)
        elif position in known or position == positions[receipt]:
            continue
        # An earlier entry that cannot be opened here, though its receipt was, does not name its entity: the entity
        # could not be folded again, so the entry counts as a duplicate, too.
        elif position > positions[receipt] or (receipt in valid and isinstance(delivery.result, InvalidDeliveryError)):
            further.append(delivery)
        else:
            positions[receipt] = position
            earlier.append(delivery)
    return fresh, earlier, further


def reassign(connection: Connection, earlier: _Deliveries) -> None:
    """Give receipts the position of an earlier entry, and record their former position as a duplicate entry.

    So the time of receipt is that of the first entry, whichever was stored first.
    """
    for delivery in earlier:
        received_at, epoch, seq = _position(delivery)
        query = """
            INSERT INTO duplicate_entries (provider, epoch, received_at, seq, receipt)
            SELECT provider, epoch, received_at, seq, receipt FROM receipts WHERE receipt = %s
        """
        connection.execute(query, [delivery.receipt])
        connection.execute(
            "UPDATE receipts SET received_at = %s, epoch = %s, seq = %s WHERE receipt = %s",
            [received_at, epoch, seq, delivery.receipt],
        )
        connection.execute("UPDATE events SET received_at = %s WHERE receipt = %s", [received_at, delivery.receipt])


def insert(connection: Connection, deliveries: _Deliveries, outcomes: dict[UUID, Outcome]) -> None:
    """Insert receipts and their bodies. What is erased has no body: its receipt is a tombstone."""
    if not deliveries:
        return
    query = """
        INSERT INTO receipts (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq,
                              erased_at)
        SELECT *, CASE reason WHEN 'erased' THEN clock_timestamp() END
        FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::outcome[], %b::text[],
                    %b::timestamptz[], %b::uuid[], %b::bigint[])
          AS fresh (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq)
    """
    connection.execute(query, columns(_values(delivery, outcomes[delivery.receipt]) for delivery in deliveries))
    kept = [item.received.delivery for item in deliveries if outcomes[item.receipt].reason != ERASED]
    if not kept:
        return
    query = """
        INSERT INTO bodies (receipt, headers, ciphertext)
        SELECT * FROM unnest(%b::uuid[], %b::jsonb[], %b::bytea[])
    """
    connection.execute(query, columns((item.receipt, Jsonb(dict(item.headers)), item.sealed) for item in kept))


def _values(delivery: ProcessedDelivery, outcome: Outcome) -> tuple[object, ...]:
    received_at, epoch, seq = _position(delivery)
    return (
        delivery.receipt, delivery.received.delivery.provider, delivery.received.delivery.topic,
        *_entity(outcome), outcome.name, outcome.reason, received_at, epoch, seq,
    )  # fmt: skip


def _entity(outcome: Outcome) -> tuple[str | None, str | None]:
    return (outcome.entity.event_type, outcome.entity.entity_id) if outcome.entity else (None, None)


def record_duplicate_entries(connection: Connection, entries: _Deliveries) -> None:
    """Record further entries of receipts, so that the audit can account for every entry."""
    if not entries:
        return
    query = """
        INSERT INTO duplicate_entries (provider, received_at, epoch, seq, receipt)
        SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::uuid[], %s::bigint[], %s::uuid[])
        ON CONFLICT DO NOTHING
    """
    rows = ((entry.received.delivery.provider, *_position(entry), entry.receipt) for entry in entries)
    connection.execute(query, columns(rows))


def load(connection: Connection, receipts: Sequence[UUID]) -> list[ReceivedDelivery]:
    """Return deliveries as they were received."""
    query = """
        SELECT receipt, provider, topic, headers, ciphertext, received_at, epoch, seq, 1 AS delivery_count,
               '' AS traceparent
        FROM receipts JOIN bodies USING (receipt)
        WHERE receipt = ANY(%s)
    """
    return [to_received(row) for row in connection.execute(query, [list(receipts)])]


def why_without_body(connection: Connection, receipt: UUID) -> str:
    """Return why `load` does not return a receipt: it is unknown, it was erased, or its body is not kept."""
    row = connection.execute("SELECT erased_at FROM receipts WHERE receipt = %s", [receipt]).fetchone()
    if row is None:
        return f"the ledger has no receipt {receipt}"
    if row.erased_at is None:
        return f"the body of {receipt} is no longer kept"
    return f"{receipt} was erased on {row.erased_at:%Y-%m-%d %H:%M} UTC; its receipt is all that is left"


class RecordedReceipt(NamedTuple):
    """A receipt in the ledger; a dead letter may have neither event type nor entity, an erased one has no entity."""

    provider: str
    topic: str
    event_type: str | None
    entity_id: str | None
    outcome: str
    is_erased: bool


def find_recorded(connection: Connection, receipts: Collection[UUID]) -> dict[UUID, RecordedReceipt]:
    """Return those of the receipts that are in the ledger, in one snapshot."""
    query = """
        SELECT receipt, provider, topic, event_type, entity_id, outcome, erased_at IS NOT NULL AS is_erased
        FROM reporting.deliveries WHERE receipt = ANY(%s)
    """
    rows = connection.execute(query, [list(receipts)])
    return {row.receipt: RecordedReceipt(*row[1:]) for row in rows}


def outcome(connection: Connection, receipt: UUID) -> Outcome:
    """Return a receipt's outcome; raises LookupError if the ledger has no such receipt."""
    row = connection.execute("SELECT outcome, reason FROM receipts WHERE receipt = %s", [receipt]).fetchone()
    if row is None:
        raise LookupError(f"the ledger has no receipt {receipt}")
    return Outcome(row.outcome, row.reason)


def still_dead(connection: Connection, deliveries: _Deliveries) -> list[ProcessedDelivery]:
    """Return the deliveries whose receipts are dead letters in the ledger, or were discarded as such.

    One that was erased is none: its body may have been read before.
    """
    query = """
        SELECT receipt FROM receipts
        WHERE receipt = ANY(%s) AND outcome IN ('dead', 'discarded') AND erased_at IS NULL
    """
    dead = {row.receipt for row in connection.execute(query, [[delivery.receipt for delivery in deliveries]])}
    return [delivery for delivery in deliveries if delivery.receipt in dead]


def update_outcome(connection: Connection, deliveries: _Deliveries, outcomes: dict[UUID, Outcome]) -> None:
    """Give dead letters their new outcome."""
    for delivery in deliveries:
        outcome = outcomes[delivery.receipt]
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s, event_type = %s, entity_id = %s WHERE receipt = %s",
            [outcome.name, outcome.reason, *_entity(outcome), delivery.receipt],
        )
