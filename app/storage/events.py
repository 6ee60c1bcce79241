"""Events: the content of every valid receipt, and the tables that dashboards read, which are made from revisions."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from app.domain.event import Content, Entity, FieldFlags, Projection, all_flags
from app.domain.outcome import AFTER_ERASURE, ProcessedDelivery
from app.domain.revisions import EventReceipt, RevisionDecision
from app.storage.connection import Connection, columns

# The key of the decision's own flags among the flags of fields.
_DECISION = "(decision)"
# The key of the flag of an event that came after an erasure.
_ERASURE = "(erasure)"
# The columns of a projection that storage fills, of either kind of table.
_STATE_COLUMNS = ("entity_id", "flags", "revision", "first_received_at", "last_received_at")
_HISTORY_COLUMNS = ("entity_id", "flags", "revision", "received_at", "receipt", "provider_event_id")
Decisions = Mapping[UUID, RevisionDecision]
# By receipt, of the events whose change is seen in the feed.
Positions = Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Row:
    """An event. Of one in the ledger `decision` is the ledger's, and `content` is read when a row is made of it."""

    entity: Entity
    event_receipt: EventReceipt
    content: Content | None
    pseudonyms: Mapping[str, str | None]
    field_flags: FieldFlags
    decision: RevisionDecision | None = None
    persons: Collection[str] = ()

    @classmethod
    def of(cls, delivery: ProcessedDelivery, is_after_erasure: bool = False) -> "Row":
        """Return the event of a valid delivery that the ledger lacks."""
        event = delivery.event
        event_receipt = EventReceipt(
            delivery.receipt,
            delivery.received.received_at,
            event.digests,
            event.provider_event_id,
            event.body_digest,
        )
        flags = {_ERASURE: [AFTER_ERASURE], **event.field_flags} if is_after_erasure else event.field_flags
        return cls(event.entity, event_receipt, event.content, event.pseudonyms, flags, persons=event.persons)

    def changes_feed(self, decision: RevisionDecision) -> bool:
        """Return whether the feed shows this decision: it makes, corrects or ends a revision."""
        was_revision = self.decision is not None and self.decision.revision is not None
        return decision != self.decision and (was_revision or decision.revision is not None)

    def flags_under(self, decision: RevisionDecision) -> FieldFlags:
        """Return the flags of fields, and those of the decision."""
        return {**self.field_flags, _DECISION: list(decision.flags)} if decision.flags else self.field_flags


def select(connection: Connection, entities: Collection[Entity]) -> list[Row]:
    """Return all valid receipts of the entities, without their contents: most are duplicates, and may be large."""
    if not entities:
        return []
    query = """
        SELECT events.receipt, events.provider, events.event_type, events.entity_id, events.received_at,
               events.revision, events.provider_event_id, events.digests, events.body_digest, events.retry_of,
               events.pseudonyms, events.field_flags, events.reason, coalesce(is_change, false) AS is_accepted
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (provider, event_type, entity_id)
        JOIN events USING (provider, event_type, entity_id)
        LEFT JOIN late_retry_findings USING (receipt)
    """
    rows = connection.execute(query, columns(entities))
    events = []
    for row in rows:
        event_receipt = EventReceipt(
            row.receipt, row.received_at, row.digests, row.provider_event_id, row.body_digest, row.is_accepted
        )
        flags, retry_of = tuple(row.field_flags.pop(_DECISION, ())), tuple(row.retry_of or ())
        decision = RevisionDecision(row.revision, row.reason, flags, retry_of)
        entity = Entity(row.provider, row.event_type, row.entity_id)
        events.append(Row(entity, event_receipt, None, row.pseudonyms, row.field_flags, decision))
    return events


def insert(connection: Connection, rows: Sequence[Row], decisions: Decisions, positions: Positions) -> None:
    """Insert events that the ledger lacks; those with a position are in the feed."""
    if not rows:
        return
    query = """
        INSERT INTO events (receipt, provider, event_type, entity_id, received_at, revision, reason, provider_event_id,
                            content, digests, body_digest, pseudonyms, persons, field_flags, flags, retry_of,
                            position, changed_at, change)
        SELECT receipt, provider, event_type, entity_id, received_at, revision, reason, provider_event_id,
               content, digests, body_digest, pseudonyms, persons::uuid[], field_flags, flags::text[], retry_of::uuid[],
               position, CASE WHEN position IS NOT NULL THEN clock_timestamp() END,
               CASE WHEN position IS NOT NULL THEN 'new'::feed_change END
        FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::integer[], %b::text[],
                    %b::text[], %b::jsonb[], %b::jsonb[], %b::text[], %b::jsonb[], %b::text[], %b::jsonb[], %b::text[],
                    %b::text[], %b::bigint[])
          AS event (receipt, provider, event_type, entity_id, received_at, revision, reason, provider_event_id,
                    content, digests, body_digest, pseudonyms, persons, field_flags, flags, retry_of, position)
    """
    receipts = [row.event_receipt.receipt for row in rows]
    values = zip(rows, map(decisions.__getitem__, receipts), map(positions.get, receipts), strict=True)
    connection.execute(query, columns(itertools.starmap(_values, values)))


def _values(row: Row, decision: RevisionDecision, position: int | None) -> tuple[object, ...]:
    event_receipt, field_flags = row.event_receipt, row.flags_under(decision)
    # unnest takes no array of arrays of different lengths: flags, which are slugs, and ids travel as literals.
    flags, retry_of = _array(all_flags(field_flags)), _array(map(str, decision.retry_of))
    persons = _array(sorted(row.persons)) if row.persons else None
    return (
        event_receipt.receipt, *row.entity, event_receipt.received_at, decision.revision, decision.reason,
        event_receipt.provider_event_id, Jsonb(row.content), Jsonb(event_receipt.digests), event_receipt.body_digest,
        Jsonb(row.pseudonyms), persons, Jsonb(field_flags), flags, retry_of if decision.retry_of else None, position,
    )  # fmt: skip


def _array(items: Iterable[str]) -> str:
    return "{" + ",".join(items) + "}"


def update_decisions(connection: Connection, rows: Sequence[Row], decisions: Decisions, positions: Positions) -> None:
    """Correct events whose decision changed, because an older receipt of their entity was stored after them.

    Those with a position move there in the feed: a revision that was in it before is `corrected`.
    """
    query = """
        UPDATE events
        SET revision = %s, reason = %s, field_flags = %s, flags = %s, retry_of = %s,
            position = coalesce(moved.position, events.position),
            changed_at = CASE WHEN moved.position IS NULL THEN changed_at ELSE clock_timestamp() END,
            change = CASE WHEN moved.position IS NULL THEN change
                          WHEN events.position IS NULL THEN 'new' ELSE 'corrected' END
        FROM (SELECT %s::bigint) AS moved (position)
        WHERE receipt = %s
    """
    for row in rows:
        receipt = row.event_receipt.receipt
        decision = decisions[receipt]
        field_flags = row.flags_under(decision)
        flags, retry_of = all_flags(field_flags), list(decision.retry_of) or None
        values = [decision.revision, decision.reason, Jsonb(field_flags), flags, retry_of]
        connection.execute(query, [*values, positions.get(receipt), receipt])
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s WHERE receipt = %s",
            ["duplicate" if decision.revision is None else "stored", decision.reason, receipt],
        )


def replace_rows(connection: Connection, projection: Projection, rows: Iterable[Row], decisions: Decisions) -> None:
    """Replace the rows of entities in a table, from all their events."""
    revisions = [row for row in rows if decisions[row.event_receipt.receipt].revision is not None]
    stored = [row.event_receipt.receipt for row in revisions if row.content is None]
    query = "SELECT receipt, content FROM events WHERE receipt = ANY(%b)"
    contents: dict[UUID, Content] = dict(connection.execute(query, [stored]).fetchall()) if stored else {}
    states: dict[Any, _State] = {}
    for row in sorted(revisions, key=lambda row: row.event_receipt.order):
        receipt = row.event_receipt.receipt
        key = row.entity if projection.kind == "state" else receipt
        state = _State.of(row, contents[receipt] if row.content is None else row.content, decisions[receipt])
        states[key] = states[key].followed_by(state, projection.decisive) if key in states else state
    table = [state.to_row(projection) for state in states.values()]
    name, entity_ids = Identifier(projection.name), sorted({row["entity_id"] for row in table})
    connection.execute(SQL("DELETE FROM {} WHERE entity_id = ANY(%b)").format(name), [entity_ids])
    insert = SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)").format(name)
    connection.execute(insert, [Jsonb(table)])
    # Retention has to know which table holds an event type.
    query = """
        INSERT INTO projections (name, provider, event_type)
        SELECT %s, * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING
    """
    if types := {row.entity[:2] for row in revisions}:
        connection.execute(query, [projection.name, *columns(types)])


@dataclass(frozen=True, slots=True)
class _State:
    """What the revisions of an entity come to so far; `row` is the last of them."""

    row: Row
    content: Content
    pseudonyms: Mapping[str, str | None]
    field_flags: FieldFlags
    revision: int | None
    first_received_at: datetime

    @classmethod
    def of(cls, row: Row, content: Content, decision: RevisionDecision) -> "_State":
        """Return the state of one revision alone."""
        received_at = row.event_receipt.received_at
        return cls(row, content, row.pseudonyms, row.flags_under(decision), decision.revision, received_at)

    def followed_by(self, later: "_State", decisive: str | None) -> "_State":
        """Return the state after a later revision.

        A key that the later revision lacks keeps its value, flags and pseudonym. If the decisive key changed, nothing
        is kept: an offer does not outlive the acceptance that it came with.
        """
        old, new = self.content, later.content
        if decisive is not None and decisive in old and decisive in new and old[decisive] != new[decisive]:
            return replace(later, first_received_at=self.first_received_at)
        return replace(
            later,
            content={**old, **new},
            pseudonyms={**self.pseudonyms, **later.pseudonyms},
            field_flags={
                **{key: flags for key, flags in self.field_flags.items() if key not in new},
                **later.field_flags,
            },
            first_received_at=self.first_received_at,
        )

    def to_row(self, projection: Projection) -> dict[str, Any]:
        """Return the row of a table, with the columns that storage fills."""
        event_receipt = self.row.event_receipt
        filled = {
            "entity_id": self.row.entity.entity_id,
            "flags": all_flags(self.field_flags),
            "revision": self.revision,
            "first_received_at": self.first_received_at,
            "last_received_at": event_receipt.received_at,
            "received_at": event_receipt.received_at,
            "receipt": event_receipt.receipt,
            "provider_event_id": event_receipt.provider_event_id,
        }
        names = _STATE_COLUMNS if projection.kind == "state" else _HISTORY_COLUMNS
        return {**projection.row(self.content), **self.pseudonyms, **{name: filled[name] for name in names}}
