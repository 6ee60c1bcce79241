"""Events: the content of every valid receipt, and which of them are revisions of their entity."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.event import Content, Entity, FieldFlags, all_flags
from app.domain.revisions import EventReceipt, RevisionDecision
from app.storage.connection import Connection, columns
from app.storage.projections import Revision

# The key of the decision's own flags among the flags of fields.
_DECISION = "(verdict)"
Decisions = Mapping[UUID, RevisionDecision]


@dataclass(frozen=True, slots=True)
class Row:
    """An event; `decision` is the one in the ledger, None if the ledger lacks the event."""

    entity: Entity
    occurrence: EventReceipt
    content: Content
    field_flags: FieldFlags
    decision: RevisionDecision | None = None

    def flags_under(self, decision: RevisionDecision) -> FieldFlags:
        """Return the flags of fields, and those of the decision."""
        return {**self.field_flags, _DECISION: list(decision.flags)} if decision.flags else self.field_flags


def select(connection: Connection, entities: Collection[Entity]) -> list[Row]:
    """Return all valid receipts of the entities."""
    if not entities:
        return []
    query = """
        SELECT events.receipt, events.provider, events.event_type, events.entity_id, events.received_at,
               events.revision, events.provider_event_id, events.content, events.digests, events.field_flags,
               receipts.reason
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (provider, event_type, entity_id)
        JOIN events USING (provider, event_type, entity_id)
        JOIN receipts USING (receipt)
    """
    rows = connection.execute(query, columns(entities))
    events = []
    for row in rows:
        occurrence = EventReceipt(row.receipt, row.received_at, row.digests, row.provider_event_id)
        decision = RevisionDecision(row.revision, row.reason, tuple(row.field_flags.pop(_DECISION, ())))
        entity = Entity(row.provider, row.event_type, row.entity_id)
        events.append(Row(entity, occurrence, row.content, row.field_flags, decision))
    return events


def insert(connection: Connection, rows: Sequence[Row], decisions: Decisions) -> None:
    """Insert events that the ledger lacks."""
    if not rows:
        return
    query = """
        INSERT INTO events (receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
                            content, digests, field_flags, flags)
        SELECT receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
               content, digests, field_flags, flags::text[]
        FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::integer[], %b::text[],
                    %b::jsonb[], %b::jsonb[], %b::jsonb[], %b::text[])
          AS event (receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
                    content, digests, field_flags, flags)
    """
    connection.execute(query, columns(_values(row, decisions[row.occurrence.receipt]) for row in rows))


def _values(row: Row, decision: RevisionDecision) -> tuple[object, ...]:
    occurrence, field_flags = row.occurrence, row.flags_under(decision)
    # unnest takes no array of arrays of different lengths: flags, which are slugs, travel as a literal.
    flags = "{" + ",".join(all_flags(field_flags)) + "}"
    return (
        occurrence.receipt, *row.entity, occurrence.received_at, decision.revision, occurrence.provider_event_id,
        Jsonb(row.content), Jsonb(occurrence.digests), Jsonb(field_flags), flags,
    )  # fmt: skip


def update_decisions(connection: Connection, rows: Sequence[Row], decisions: Decisions) -> None:
    """Correct events whose decision changed, because an older receipt of their entity was stored after them."""
    for row in rows:
        receipt = row.occurrence.receipt
        decision = decisions[receipt]
        field_flags = row.flags_under(decision)
        connection.execute(
            "UPDATE events SET revision = %s, field_flags = %s, flags = %s WHERE receipt = %s",
            [decision.revision, Jsonb(field_flags), all_flags(field_flags), receipt],
        )
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s WHERE receipt = %s",
            ["duplicate" if decision.revision is None else "stored", decision.reason, receipt],
        )


def revisions(rows: Iterable[Row], decisions: Decisions) -> list[Revision]:
    """Return the revisions among the events, in order."""
    found = []
    for row in rows:
        occurrence, decision = row.occurrence, decisions[row.occurrence.receipt]
        if decision.revision is not None:
            found.append(Revision(
                row.entity.entity_id, occurrence.receipt, occurrence.provider_event_id, row.content,
                row.flags_under(decision), decision.revision, occurrence.received_at, occurrence.received_at,
            ))  # fmt: skip
    return sorted(found, key=lambda revision: revision.revision)
