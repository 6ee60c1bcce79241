"""Events: the content of every valid receipt, and which of them are revisions of their entity."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from app.domain.event import Entity, Event, FieldFlags, all_flags
from app.domain.outcome import ProcessedDelivery
from app.domain.revisions import EventReceipt, RevisionDecision
from app.storage import projections
from app.storage.column_arrays import columns, to_json
from app.storage.connection import Connection

# Where the flags of a verdict stand among the field_flags.
_VERDICT = "(verdict)"


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it was stored: what its entity's history needs of it."""

    entity: Entity
    occurrence: EventReceipt
    verdict: RevisionDecision
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
    found = defaultdict(list)
    for row in rows:
        entity = Entity(row.provider, row.event_type, row.entity_id)
        occurrence = EventReceipt(row.receipt, row.received_at, row.digests, row.provider_event_id)
        verdict = RevisionDecision(row.revision, row.reason, tuple(row.field_flags.get(_VERDICT, ())))
        found[entity].append(Row(entity, occurrence, verdict, row.field_flags))
    return found


def insert(
    connection: Connection, settlements: Sequence[ProcessedDelivery], verdicts: Mapping[UUID, RevisionDecision]
) -> None:
    """Insert the events of valid deliveries."""
    if not settlements:
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
        columns(_row(settlement, verdicts[settlement.receipt]) for settlement in settlements),
    )


def _row(settlement: ProcessedDelivery, verdict: RevisionDecision) -> tuple[object, ...]:
    event, field_flags = settlement.event, _with_verdict(settlement.event.field_flags, verdict)
    return (
        settlement.receipt, *event.entity, settlement.received.received_at, verdict.revision, event.provider_event_id,
        to_json(event.content), to_json(event.digests), to_json(field_flags), _array(all_flags(field_flags)),
    )  # fmt: skip


def revisions(
    settlements: Iterable[ProcessedDelivery], verdicts: Mapping[UUID, RevisionDecision]
) -> list[tuple[Event, projections.Revision]]:
    """Return the events that became revisions, in order."""
    found = []
    for settlement in settlements:
        verdict, event, received_at = verdicts[settlement.receipt], settlement.event, settlement.received.received_at
        if verdict.revision is not None:
            field_flags = _with_verdict(event.field_flags, verdict)
            found.append((event, projections.Revision(
                event.entity.entity_id, settlement.receipt, event.provider_event_id, event.content, field_flags,
                verdict.revision, received_at, received_at,
            )))  # fmt: skip
    return sorted(found, key=lambda each: each[1].revision)


def revise(connection: Connection, rows: Sequence[Row], verdicts: Mapping[UUID, RevisionDecision]) -> None:
    """Correct events whose verdict changed, since an older receipt of their entity turned up after them."""
    for row in rows:
        receipt = row.occurrence.receipt
        verdict = verdicts[receipt]
        field_flags = _with_verdict(row.field_flags, verdict)
        connection.execute(
            "UPDATE events SET revision = %s, field_flags = %s, flags = %s WHERE receipt = %s",
            [verdict.revision, Jsonb(field_flags), all_flags(field_flags), receipt],
        )
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s WHERE receipt = %s",
            ["duplicate" if verdict.revision is None else "stored", verdict.reason, receipt],
        )


def _with_verdict(field_flags: FieldFlags, verdict: RevisionDecision) -> dict[str, list[str]]:
    own = {key: flags for key, flags in field_flags.items() if key != _VERDICT}
    return own | ({_VERDICT: list(verdict.flags)} if verdict.flags else {})


def _array(flags: Sequence[str]) -> str:
    """Return flags (slugs) as a Postgres array literal: unnest takes no array of arrays of different lengths."""
    return "{" + ",".join(flags) + "}"
