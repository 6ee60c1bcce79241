"""Events: the content of every valid receipt, and which of them are revisions of their entity."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from app.event import Doubts, Entity, flags_of
from app.history import Occurrence, Verdict
from app.storage.connection import Connection
from app.storage.settlement import Settlement

# Where the flags of a verdict stand among the doubts.
_VERDICT = "(verdict)"


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it was stored: what its entity's history needs of it."""

    entity: Entity
    occurrence: Occurrence
    verdict: Verdict
    doubts: Doubts


Histories = Mapping[Entity, list[Row]]


def histories(connection: Connection, entities: Collection[Entity]) -> Histories:
    """Return all valid receipts of the entities, by entity."""
    if not entities:
        return {}
    rows = connection.execute(
        """
        SELECT events.receipt, events.provider, events.event_type, events.entity_id, events.received_at,
               events.revision, events.identity, events.digests, events.doubts, receipts.reason
        FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (provider, event_type, entity_id)
        JOIN events USING (provider, event_type, entity_id)
        JOIN receipts USING (receipt)
        """,
        [list(column) for column in zip(*entities, strict=True)],
    )
    found = defaultdict(list)
    for row in rows:
        entity = Entity(row.provider, row.event_type, row.entity_id)
        occurrence = Occurrence(row.receipt, row.received_at, row.digests, row.identity)
        verdict = Verdict(row.revision, row.reason, tuple(row.doubts.get(_VERDICT, ())))
        found[entity].append(Row(entity, occurrence, verdict, row.doubts))
    return found


def insert(connection: Connection, settlements: Sequence[Settlement], verdicts: Mapping[UUID, Verdict]) -> None:
    """Insert the events of valid deliveries."""
    if not settlements:
        return
    rows = []
    for settlement in settlements:
        event, verdict = settlement.event, verdicts[settlement.receipt]
        doubts = _with_verdict(event.doubts, verdict)
        rows.append((
            settlement.receipt, *event.entity, settlement.received.received_at, verdict.revision, event.identity,
            Jsonb(event.content), Jsonb(event.digests), Jsonb(doubts), _array(flags_of(doubts)),
        ))  # fmt: skip
    connection.execute(
        """
        INSERT INTO events (receipt, provider, event_type, entity_id, received_at, revision, identity,
                            content, digests, doubts, flags)
        SELECT receipt, provider, event_type, entity_id, received_at, revision, identity,
               content, digests, doubts, flags::text[]
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::integer[], %s::text[],
                    %s::jsonb[], %s::jsonb[], %s::jsonb[], %s::text[])
          AS event (receipt, provider, event_type, entity_id, received_at, revision, identity,
                    content, digests, doubts, flags)
        """,
        [list(column) for column in zip(*rows, strict=True)],
    )


def revise(connection: Connection, rows: Sequence[Row], verdicts: Mapping[UUID, Verdict]) -> None:
    """Correct events whose verdict changed, since an older receipt of their entity turned up after them."""
    for row in rows:
        receipt = row.occurrence.receipt
        verdict = verdicts[receipt]
        doubts = _with_verdict(row.doubts, verdict)
        connection.execute(
            "UPDATE events SET revision = %s, doubts = %s, flags = %s WHERE receipt = %s",
            [verdict.revision, Jsonb(doubts), flags_of(doubts), receipt],
        )
        connection.execute(
            "UPDATE receipts SET outcome = %s, reason = %s WHERE receipt = %s",
            ["duplicate" if verdict.revision is None else "stored", verdict.reason, receipt],
        )


def _with_verdict(doubts: Doubts, verdict: Verdict) -> dict[str, list[str]]:
    own = {key: flags for key, flags in doubts.items() if key != _VERDICT}
    return own | ({_VERDICT: list(verdict.flags)} if verdict.flags else {})


def _array(flags: Sequence[str]) -> str:
    """Return flags (slugs) as a Postgres array literal: unnest takes no array of arrays of different lengths."""
    return "{" + ",".join(flags) + "}"
