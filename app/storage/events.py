"""Events: the content of every valid receipt, and the tables that dashboards read, which are made from revisions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from app.domain.event import Content, Entity, FieldFlags, Projection, all_flags
from app.domain.outcome import ProcessedDelivery
from app.domain.revisions import EventReceipt, RevisionDecision
from app.storage.connection import Connection, columns

# The key of the decision's own flags among the flags of fields.
_DECISION = "(verdict)"
# The columns of a projection that storage fills, of either kind of table.
_STATE_COLUMNS = ("entity_id", "flags", "revision", "received_at", "updated_at")
_HISTORY_COLUMNS = (*_STATE_COLUMNS, "receipt", "provider_event_id")
Decisions = Mapping[UUID, RevisionDecision]


@dataclass(frozen=True, slots=True)
class Row:
    """An event. Of one in the ledger `decision` is the ledger's, and `content` is read when a row is made of it."""

    entity: Entity
    occurrence: EventReceipt
    content: Content | None
    field_flags: FieldFlags
    decision: RevisionDecision | None = None

    @classmethod
    def of(cls, delivery: ProcessedDelivery) -> "Row":
        """Return the event of a valid delivery that the ledger lacks."""
        event = delivery.event
        received_at = delivery.received.received_at
        occurrence = EventReceipt(delivery.receipt, received_at, event.digests, event.provider_event_id)
        return cls(event.entity, occurrence, event.content, event.field_flags)

    def flags_under(self, decision: RevisionDecision) -> FieldFlags:
        """Return the flags of fields, and those of the decision."""
        return {**self.field_flags, _DECISION: list(decision.flags)} if decision.flags else self.field_flags


def select(connection: Connection, entities: Collection[Entity]) -> list[Row]:
    """Return all valid receipts of the entities, without their contents: most are duplicates, and may be large."""
    if not entities:
        return []
    query = """
        SELECT events.receipt, events.provider, events.event_type, events.entity_id, events.received_at,
               events.revision, events.provider_event_id, events.digests, events.field_flags, receipts.reason
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
        events.append(Row(entity, occurrence, None, row.field_flags, decision))
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


def replace_rows(connection: Connection, projection: Projection, rows: Iterable[Row], decisions: Decisions) -> None:
    """Replace the rows of entities in a table, from all their events."""
    filled: dict[Any, dict[str, Any]] = {}
    revisions = [row for row in rows if decisions[row.occurrence.receipt].revision is not None]
    stored = [row.occurrence.receipt for row in revisions if row.content is None]
    query = "SELECT receipt, content FROM events WHERE receipt = ANY(%b)"
    contents: dict[UUID, Content] = dict(connection.execute(query, [stored]).fetchall()) if stored else {}
    for row in sorted(revisions, key=lambda row: row.occurrence.order):
        occurrence, decision = row.occurrence, decisions[row.occurrence.receipt]
        content = contents[occurrence.receipt] if row.content is None else row.content
        key = row.entity if projection.kind == "state" else occurrence.receipt
        earlier = filled.get(key, {"content": {}, "field_flags": {}, "received_at": occurrence.received_at})
        filled[key] = {
            # A key that a later revision lacks keeps its value and flags.
            "content": earlier["content"] | content,
            "field_flags": {
                **{name: flags for name, flags in earlier["field_flags"].items() if name not in content},
                **row.flags_under(decision),
            },
            "entity_id": row.entity.entity_id,
            "revision": decision.revision,
            "received_at": earlier["received_at"],
            "updated_at": occurrence.received_at,
            "receipt": occurrence.receipt,
            "provider_event_id": occurrence.provider_event_id,
        }
    names = _STATE_COLUMNS if projection.kind == "state" else _HISTORY_COLUMNS
    table = []
    for values in filled.values():
        values["flags"] = all_flags(values["field_flags"])
        table.append(projection.row(values["content"]) | {name: values[name] for name in names})
    name, entity_ids = Identifier(projection.name), sorted({row["entity_id"] for row in table})
    connection.execute(SQL("DELETE FROM {} WHERE entity_id = ANY(%b)").format(name), [entity_ids])
    insert = SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s)").format(name)
    connection.execute(insert, [Jsonb(table)])
