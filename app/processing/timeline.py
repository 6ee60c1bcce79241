"""What became of a delivery, step by step, by what the ledger holds. It opens nothing and needs no key."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.durations import in_words
from app.domain.event import Entity
from app.processing.explain import Explanation, explain_decision
from app.storage import deliveries, events
from app.storage.connection import Connection
from app.storage.deliveries import SealedBody


class Timeline(NamedTuple):
    """A delivery, its steps, its sealed body if it is kept, and of a valid one its event: content, flags, revision."""

    delivery: dict[str, Any]
    steps: list[Explanation]
    body: SealedBody | None
    event: dict[str, Any] | None


def read(connection: Connection, receipt: UUID) -> Timeline | None:
    """Return the timeline of a receipt; None if the ledger lacks it."""
    delivery = deliveries.find(connection, receipt)
    if delivery is None:
        return None
    body, event = deliveries.sealed_body(connection, receipt), deliveries.event(connection, receipt)
    steps = [*_accepted(delivery, body), *_processed(connection, delivery)]
    return Timeline(delivery, steps, body, event)


def _accepted(delivery: dict[str, Any], body: SealedBody | None) -> Iterator[Explanation]:
    yield ("received", f"{delivery['received_at']:%Y-%m-%d %H:%M:%S.%f} UTC, topic {delivery['topic']}")
    yield ("authentication", "passed at the time of receipt; the credentials are not stored")
    if body:
        yield ("sealed", f"with key {body.key_id}, {body.size:,} bytes")
    elif delivery["erased_at"]:
        yield ("sealed", f"its body was erased on {delivery['erased_at']:%Y-%m-%d %H:%M} UTC")
    else:
        yield ("sealed", "its body is no longer kept")
    if delivery["answered_ms"] is not None:
        how = "completely" if delivery["answer_complete"] else "to a sender who had hung up"
        yield ("answered", f"200 after {delivery['answered_ms']} ms, {how}")
    yield ("waited", f"in {'the overflow of Postgres' if delivery['overflowed'] else 'the inbox of Redis'}")
    if delivery["copies"]:
        yield ("appended", f"{delivery['copies'] + 1} times: the answer of Redis was lost; it counts once")


def _processed(connection: Connection, delivery: dict[str, Any]) -> Iterator[Explanation]:
    waited = (delivery["processed_at"] - delivery["received_at"]).total_seconds()
    took = f"{waited * 1000:.0f} ms" if waited < 10 else in_words(waited)
    yield ("processed", f"{delivery['processed_at']:%Y-%m-%d %H:%M:%S.%f} UTC, {took} after its receipt")
    if delivery["dead_reason"]:
        yield ("dead letter", f"{delivery['dead_reason']}: {delivery['dead_detail']}")
    if delivery["discarded_at"]:
        yield ("discarded", f"{delivery['discarded_at']:%Y-%m-%d %H:%M:%S} UTC")
    if delivery["replayed_at"]:
        yield ("replayed", f"{delivery['replayed_at']:%Y-%m-%d %H:%M:%S} UTC, and became an event")
    if delivery["entity_id"] is None:
        yield ("outcome", delivery["outcome"] + (f", {delivery['reason']}" if delivery["reason"] else ""))
        return
    entity = Entity(delivery["provider"], delivery["event_type"], delivery["entity_id"])
    rows = {row.event_receipt.receipt: row for row in events.select(connection, [entity])}
    if own := rows.get(delivery["receipt"]):
        decided = {receipt: (row.event_receipt, row.decision) for receipt, row in rows.items() if row.decision}
        yield from explain_decision(connection, entity, own.event_receipt, decided, own.field_flags)
