"""Events: the content of every valid receipt, and which of them are revisions of their entity."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.event import Entity, Event, FieldFlags, all_flags
from app.domain.outcome import ProcessedDelivery
from app.domain.revisions import EventReceipt, RevisionDecision
from app.storage.column_arrays import columns, to_json
from app.storage.connection import Connection
from app.storage.projections import Revision

# The key of the decision's own flags among the flags of fields.
_DECISION = "(verdict)"
Decisions = Mapping[UUID, RevisionDecision]


@dataclass(frozen=True, slots=True)
class Row:
    """A stored event: what folding its entity needs of it."""

    entity: Entity
    occurrence: EventReceipt
    decision: RevisionDecision
    field_flags: FieldFlags


Histories = Mapping[Entity, list[Row]]


def histories(connection: Connection, entities: Collection[Entity]) -> Histories:
    """Return all valid receipts of the entities, by entity."""
    if not entities:
        return {}
    rows = connection.execute(
        """
        SELECT events.receipt, events.provider, events.event_type, events.entity_id, events.received_at,
               events.revision, events.provider_event_id, events.digests, events.field_flags, receipts.reason
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (provider, event_type, entity_id)
        JOIN events USING (provider, event_type, entity_id)
        JOIN receipts USING (receipt)
        """,
        columns(entities),
    )
    by_entity = defaultdict(list)
    for row in rows:
        entity = Entity(row.provider, row.event_type, row.entity_id)
        occurrence = EventReceipt(row.receipt, row.received_at, row.digests, row.provider_event_id)
        decision = RevisionDecision(row.revision, row.reason, tuple(row.field_flags.get(_DECISION, ())))
        by_entity[entity].append(Row(entity, occurrence, decision, row.field_flags))
    return by_entity


def insert(connection: Connection, deliveries: Sequence[ProcessedDelivery], decisions: Decisions) -> None:
    """Insert the events of valid deliveries."""
    if not deliveries:
        return
    connection.execute(
        """
        INSERT INTO events (receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
                            content, digests, field_flags, flags)
        SELECT receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
               content::jsonb, digests::jsonb, field_flags::jsonb, flags::text[]
        FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::integer[], %b::text[],
                    %b::text[], %b::text[], %b::text[], %b::text[])
          AS event (receipt, provider, event_type, entity_id, received_at, revision, provider_event_id,
                    content, digests, field_flags, flags)
        """,
        columns(_values(delivery, decisions[delivery.receipt]) for delivery in deliveries),
    )


def _values(delivery: ProcessedDelivery, decision: RevisionDecision) -> tuple[object, ...]:
    event, field_flags = delivery.event, _with_decision(delivery.event.field_flags, decision)
    # unnest takes no array of arrays of different lengths: flags, which are slugs, travel as a literal.
    flags = "{" + ",".join(all_flags(field_flags)) + "}"
    return (
        delivery.receipt, *event.entity, delivery.received.received_at, decision.revision, event.provider_event_id,
        to_json(event.content), to_json(event.digests), to_json(field_flags), flags,
    )  # fmt: skip


def revisions(deliveries: Iterable[ProcessedDelivery], decisions: Decisions) -> list[tuple[Event, Revision]]:
    """Return the events that became revisions, in order."""
    found = []
    for delivery in deliveries:
        decision, event, received_at = decisions[delivery.receipt], delivery.event, delivery.received.received_at
        if decision.revision is not None:
            field_flags = _with_decision(event.field_flags, decision)
            found.append((event, Revision(
                event.entity.entity_id, delivery.receipt, event.provider_event_id, event.content, field_flags,
                decision.revision, received_at, received_at,
            )))  # fmt: skip
    return sorted(found, key=lambda item: item[1].revision)


def update_decisions(connection: Connection, rows: Sequence[Row], decisions: Decisions) -> None:
    """Correct events whose decision changed, because an older receipt of their entity was stored after them."""
    for row in rows:
        receipt = row.occurrence.receipt
        decision = decisions[receipt]
        field_flags = _with_decision(row.field_flags, decision)
        connection.execute(
            "UPDATE events SET revision = %s, field_flags = %s, flags = %s WHERE receipt = %s",
            [decision.revision, Jsonb(field_flags), all_flags(field_flags), receipt],
        )
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s WHERE receipt = %s",
            ["duplicate" if decision.revision is None else "stored", decision.reason, receipt],
        )


def _with_decision(field_flags: FieldFlags, decision: RevisionDecision) -> dict[str, list[str]]:
    of_fields = {key: flags for key, flags in field_flags.items() if key != _DECISION}
    return of_fields | ({_DECISION: list(decision.flags)} if decision.flags else {})
