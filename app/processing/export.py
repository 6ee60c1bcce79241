"""Exports all that one provider holds of a person or an entity, with where each part is kept."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from app.domain.delivery import ReceivedDelivery
from app.errors import InvalidDeliveryError
from app.processing.holdings import Holdings
from app.storage import erasure, receipts
from app.storage.connection import Connection


def export(holdings: Holdings, connection: Connection) -> dict[str, Any]:
    """Return the rows of every table by its name, and the opened bodies of ledger, overflow and inbox."""
    held = holdings.find(connection)
    waiting = {received.delivery.receipt for received in held.waiting}
    entities = sorted(held.entities)
    tables = {projection.name for each in entities if (projection := holdings.provider.projection(each.event_type))}
    overflow = erasure.sealed(connection, "overflow", holdings.name, ())
    rejected = erasure.sealed(connection, "rejected request", holdings.name, ())
    sealed: Iterable[tuple[str, str, ReceivedDelivery]] = chain(
        (("kvitto.bodies", "ledger", each) for each in receipts.load(connection, list(held.receipts))),
        (("kvitto.overflow", "overflow", each) for each in overflow if each.delivery.receipt in waiting),
        (
            ("kvitto.rejected_requests", "rejected request", each)
            for each in rejected
            if each.delivery.receipt in held.rejected
        ),
        (
            (f"inbox:{holdings.name}", "inbox", each)
            for each in holdings.inbox.read()
            if each.delivery.receipt in waiting
        ),
    )
    return {
        "provider": holdings.name,
        "entities": [f"{entity.event_type}/{entity.entity_id}" for entity in entities],
        "rows": erasure.rows_of(connection, held, tables),
        "bodies": list(_opened(holdings, sealed)),
        "not_searched": [
            {"source": body.place, "receipt": body.received.delivery.receipt, "problem": body.problem}
            for body in holdings.unsearched
        ],
    }


def _opened(holdings: Holdings, sealed: Iterable[tuple[str, str, ReceivedDelivery]]) -> Iterator[dict[str, Any]]:
    for source, place, received in sealed:
        delivery = received.delivery
        body = {"source": source, "receipt": delivery.receipt, "received_at": received.received_at}
        try:
            contents = [_content(text) for text in holdings.plaintexts(place, received)]
        except InvalidDeliveryError as error:
            yield body | {"problem": str(error)}
        else:
            yield body | {"headers": dict(delivery.headers), "content": contents[0]}


def _content(text: bytes) -> Any:
    """Return the JSON that a text is, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace")
