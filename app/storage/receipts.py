"""Receipts: a row for every delivery that was answered 200, and its sealed body."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.event import Event
from app.domain.outcome import Outcome, ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.storage.column_arrays import columns, to_json
from app.storage.connection import Connection

_Place = tuple[datetime, UUID, int]


def _place(received: ReceivedDelivery) -> _Place:
    return received.received_at, received.epoch, received.stream_id.seq


@dataclass(frozen=True, slots=True)
class Partition:
    """A batch, told apart: what the ledger lacks, and further entries of receipts.

    copies: came after the entry that their receipt was made of; earlier: came before it. One that cannot be opened
    here, though its receipt was, tells nothing of its entity, whose history could not be judged anew: a copy, too.
    """

    fresh: list[ProcessedDelivery]
    copies: list[ProcessedDelivery]
    earlier: list[ProcessedDelivery]


def partition(connection: Connection, settlements: Sequence[ProcessedDelivery]) -> Partition:
    """Tell apart what the ledger lacks and what it has.

    An entry met again (its acknowledgement was lost) is left out. A copy is another entry of the same
    receipt: it was appended, the answer was lost, and so it was kept once more.
    """
    rows = connection.execute(
        "SELECT receipt, epoch, received_at, seq, outcome FROM receipts WHERE receipt = ANY(%b)",
        [[settlement.receipt for settlement in settlements]],
    ).fetchall()
    valid = {row.receipt for row in rows if row.outcome != "dead"}
    places: dict[UUID, _Place] = {row.receipt: (row.received_at, row.epoch, row.seq) for row in rows}
    known = {*places.values(), *_copies(connection, places)}
    sifted = Partition([], [], [])
    for settlement in sorted(settlements, key=lambda each: _place(each.received)):
        place = _place(settlement.received)
        if settlement.receipt not in places:
            places[settlement.receipt] = place
            sifted.fresh.append(settlement)
        elif place in known or place == places[settlement.receipt]:
            continue
        elif place > places[settlement.receipt] or (
            settlement.receipt in valid and isinstance(settlement.result, InvalidDeliveryError)
        ):
            sifted.copies.append(settlement)
        else:
            places[settlement.receipt] = place
            sifted.earlier.append(settlement)
    return sifted


def _copies(connection: Connection, receipts: Collection[UUID]) -> Iterator[_Place]:
    if receipts:
        query = "SELECT epoch, received_at, seq FROM duplicate_entries WHERE receipt = ANY(%s)"
        for row in connection.execute(query, [list(receipts)]):
            yield row.received_at, row.epoch, row.seq


def reassign(connection: Connection, earlier: Sequence[ProcessedDelivery]) -> None:
    """Give receipts the place of an earlier entry of theirs, and note the place they had as a copy's.

    So the time of receipt is that of the first entry, whichever was taken in first.
    """
    for settlement in earlier:
        received_at, epoch, seq = _place(settlement.received)
        connection.execute(
            """
            INSERT INTO duplicate_entries (provider, epoch, received_at, seq, receipt)
            SELECT provider, epoch, received_at, seq, receipt FROM receipts WHERE receipt = %s
            """,
            [settlement.receipt],
        )
        connection.execute(
            "UPDATE receipts SET received_at = %s, epoch = %s, seq = %s WHERE receipt = %s",
            [received_at, epoch, seq, settlement.receipt],
        )
        connection.execute("UPDATE events SET received_at = %s WHERE receipt = %s", [received_at, settlement.receipt])


def insert(connection: Connection, settlements: Sequence[ProcessedDelivery], outcomes: dict[UUID, Outcome]) -> None:
    """Insert receipts and their bodies."""
    if not settlements:
        return
    connection.execute(
        """
        INSERT INTO receipts (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq)
        SELECT receipt, provider, topic, event_type, entity_id, outcome::outcome, reason, received_at, epoch, seq
        FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
                    %b::timestamptz[], %b::uuid[], %b::bigint[])
          AS found (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq)
        """,
        columns(_row(settlement, outcomes[settlement.receipt]) for settlement in settlements),
    )
    deliveries = [settlement.received.delivery for settlement in settlements]
    connection.execute(
        """
        INSERT INTO bodies (receipt, headers, ciphertext)
        SELECT receipt, headers::jsonb, ciphertext
        FROM unnest(%b::uuid[], %b::text[], %b::bytea[]) AS body (receipt, headers, ciphertext)
        """,
        columns((delivery.receipt, to_json(dict(delivery.headers)), delivery.sealed) for delivery in deliveries),
    )


def record_duplicate_entries(connection: Connection, copies: Sequence[ProcessedDelivery]) -> None:
    """Note further entries of receipts, so that the audit can account for every entry."""
    if not copies:
        return
    times, epochs, seqs = zip(*(_place(copy.received) for copy in copies), strict=True)
    connection.execute(
        """
        INSERT INTO duplicate_entries (provider, epoch, received_at, seq, receipt)
        SELECT * FROM unnest(%s::text[], %s::uuid[], %s::timestamptz[], %s::bigint[], %s::uuid[])
        ON CONFLICT DO NOTHING
        """,
        [
            [copy.received.delivery.provider for copy in copies],
            list(epochs),
            list(times),
            list(seqs),
            [copy.receipt for copy in copies],
        ],
    )


def load(connection: Connection, receipts: Sequence[UUID]) -> list[ReceivedDelivery]:
    """Return deliveries as they were received."""
    rows = connection.execute(
        """
        SELECT receipt, provider, topic, headers, ciphertext, received_at, epoch, seq
        FROM receipts JOIN bodies USING (receipt)
        WHERE receipt = ANY(%s)
        """,
        [list(receipts)],
    )
    return [
        ReceivedDelivery(
            Delivery(row.receipt, row.provider, row.topic, row.headers, row.ciphertext),
            row.received_at,
            row.epoch,
            StreamId(round(row.received_at.timestamp() * 1000), row.seq),
        )
        for row in rows
    ]


def outcome(connection: Connection, receipt: UUID) -> Outcome:
    """Return a receipt's outcome as the ledger has it."""
    row = connection.execute("SELECT outcome, reason FROM receipts WHERE receipt = %s", [receipt]).fetchone()
    if row is None:
        raise LookupError(f"the ledger has no receipt {receipt}")
    return Outcome(row.outcome, row.reason)


def still_dead(connection: Connection, settlements: Sequence[ProcessedDelivery]) -> list[ProcessedDelivery]:
    """Return the settlements of receipts that are dead letters still."""
    rows = connection.execute(
        "SELECT receipt FROM receipts WHERE receipt = ANY(%s) AND outcome = 'dead'",
        [[settlement.receipt for settlement in settlements]],
    )
    dead = {row.receipt for row in rows}
    return [settlement for settlement in settlements if settlement.receipt in dead]


def update_outcome(
    connection: Connection, settlements: Sequence[ProcessedDelivery], outcomes: dict[UUID, Outcome]
) -> None:
    """Give dead letters their new outcome."""
    for settlement in settlements:
        outcome = outcomes[settlement.receipt]
        _, event_type, entity_id = _entity(settlement)
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s, event_type = %s, entity_id = %s WHERE receipt = %s",
            [outcome.name, outcome.reason, event_type, entity_id, settlement.receipt],
        )


def _row(settlement: ProcessedDelivery, outcome: Outcome) -> tuple[object, ...]:
    delivery = settlement.received.delivery
    provider, event_type, entity_id = _entity(settlement)
    received_at, epoch, seq = _place(settlement.received)
    return (
        delivery.receipt, provider, delivery.topic, event_type, entity_id,
        outcome.name, outcome.reason, received_at, epoch, seq,
    )  # fmt: skip


def _entity(settlement: ProcessedDelivery) -> tuple[str, str | None, str | None]:
    if isinstance(settlement.result, Event):
        return settlement.result.entity
    return settlement.received.delivery.provider, None, None
