"""Receipts: a row for every delivery that was answered 200, and its sealed body."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from app.delivery import Delivery, Position, Received
from app.event import Event
from app.storage.connection import Connection
from app.storage.settlement import Outcome, Settlement

_Place = tuple[UUID, datetime, int]


def _place(received: Received) -> _Place:
    return received.epoch, received.received_at, received.position.seq


def sift(connection: Connection, settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
    """Return what the ledger lacks, and the copies: further entries of one receipt.

    An entry met again (its acknowledgement was lost) is neither. A copy is another entry of the same
    receipt: its append was repeated because the first one's answer was lost.
    """
    rows = connection.execute(
        "SELECT receipt, epoch, received_at, seq FROM receipts WHERE receipt = ANY(%s)",
        [[settlement.receipt for settlement in settlements]],
    )
    places: dict[UUID, _Place] = {row.receipt: (row.epoch, row.received_at, row.seq) for row in rows}
    fresh, copies = [], []
    for settlement in sorted(settlements, key=lambda each: each.received.position):
        place = _place(settlement.received)
        if settlement.receipt not in places:
            places[settlement.receipt] = place
            fresh.append(settlement)
        elif places[settlement.receipt] != place:
            copies.append(settlement)
    return fresh, copies


def insert(connection: Connection, settlements: Sequence[Settlement], outcomes: dict[UUID, Outcome]) -> None:
    """Insert receipts and their bodies."""
    columns = zip(*(_row(settlement, outcomes[settlement.receipt]) for settlement in settlements), strict=True)
    arrays = [list(column) for column in columns]
    if not arrays:
        return
    connection.execute(
        """
        INSERT INTO receipts (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq)
        SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::outcome[], %s::text[],
                             %s::timestamptz[], %s::uuid[], %s::bigint[])
        """,
        arrays,
    )
    deliveries = [settlement.received.delivery for settlement in settlements]
    connection.execute(
        "INSERT INTO bodies (receipt, headers, sealed) SELECT * FROM unnest(%s::uuid[], %s::jsonb[], %b::bytea[])",
        [
            [delivery.receipt for delivery in deliveries],
            [Jsonb(dict(delivery.headers)) for delivery in deliveries],
            [delivery.sealed for delivery in deliveries],
        ],
    )


def note_copies(connection: Connection, copies: Sequence[Settlement]) -> None:
    """Note further entries of receipts, so that the audit can account for every entry."""
    if not copies:
        return
    epochs, times, seqs = zip(*(_place(copy.received) for copy in copies), strict=True)
    connection.execute(
        """
        INSERT INTO copies (provider, epoch, received_at, seq, receipt)
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


def load(connection: Connection, receipts: Sequence[UUID]) -> list[Received]:
    """Return deliveries as they were received."""
    rows = connection.execute(
        """
        SELECT receipt, provider, topic, headers, sealed, received_at, epoch, seq
        FROM receipts JOIN bodies USING (receipt)
        WHERE receipt = ANY(%s)
        """,
        [list(receipts)],
    )
    return [
        Received(
            Delivery(row.receipt, row.provider, row.topic, row.headers, row.sealed),
            row.received_at,
            row.epoch,
            Position(round(row.received_at.timestamp() * 1000), row.seq),
        )
        for row in rows
    ]


def outcome(connection: Connection, receipt: UUID) -> Outcome:
    """Return a receipt's outcome as the ledger has it."""
    row = connection.execute("SELECT outcome, reason FROM receipts WHERE receipt = %s", [receipt]).fetchone()
    if row is None:
        raise LookupError(f"the ledger has no receipt {receipt}")
    return Outcome(row.outcome, row.reason)


def still_dead(connection: Connection, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements of receipts that are dead letters still."""
    rows = connection.execute(
        "SELECT receipt FROM receipts WHERE receipt = ANY(%s) AND outcome = 'dead'",
        [[settlement.receipt for settlement in settlements]],
    )
    dead = {row.receipt for row in rows}
    return [settlement for settlement in settlements if settlement.receipt in dead]


def resettle(connection: Connection, settlements: Sequence[Settlement], outcomes: dict[UUID, Outcome]) -> None:
    """Give dead letters their new outcome."""
    for settlement in settlements:
        outcome = outcomes[settlement.receipt]
        _, event_type, entity_id = _entity(settlement)
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s, event_type = %s, entity_id = %s WHERE receipt = %s",
            [outcome.name, outcome.reason, event_type, entity_id, settlement.receipt],
        )


def _row(settlement: Settlement, outcome: Outcome) -> tuple[object, ...]:
    delivery = settlement.received.delivery
    provider, event_type, entity_id = _entity(settlement)
    epoch, received_at, seq = _place(settlement.received)
    return (
        delivery.receipt, provider, delivery.topic, event_type, entity_id,
        outcome.name, outcome.reason, received_at, epoch, seq,
    )  # fmt: skip


def _entity(settlement: Settlement) -> tuple[str, str | None, str | None]:
    if isinstance(settlement.result, Event):
        return settlement.result.entity
    return settlement.received.delivery.provider, None, None
