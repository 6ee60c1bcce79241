"""The fields of a stream entry. The append adds the epoch, which the server decides."""

import json
from uuid import UUID

from app.domain.delivery import Delivery, ReceivedDelivery, StreamId

_FORMAT_VERSION = b"1"


def to_fields(delivery: Delivery) -> dict[str, bytes]:
    """Return what an append sends."""
    return {
        "v": _FORMAT_VERSION,
        "receipt": delivery.receipt.bytes,
        "topic": delivery.topic.encode(),
        "headers": json.dumps(dict(delivery.headers)).encode(),
        "sealed": delivery.sealed,
        "traceparent": delivery.traceparent.encode(),  # empty or not, so that all entries have the same fields
    }


def to_received(provider: str, stream_id: StreamId, fields: dict[bytes, bytes]) -> ReceivedDelivery:
    """Return the delivery; raises KeyError, ValueError or OverflowError for an entry of another format."""
    if fields[b"v"] != _FORMAT_VERSION:
        raise ValueError("written by a newer version")
    delivery = Delivery(
        receipt=UUID(bytes=fields[b"receipt"]),
        provider=provider,
        topic=fields[b"topic"].decode(),
        headers=json.loads(fields[b"headers"]),
        sealed=fields[b"sealed"],
        traceparent=fields.get(b"traceparent", b"").decode(),
    )
    return ReceivedDelivery(delivery, stream_id.received_at, UUID(fields[b"epoch"].decode()), stream_id)


def parse_epoch(epoch: bytes) -> UUID | None:
    """Return the epoch of an entry; None for an entry that is not Kvitto's."""
    try:
        return UUID(epoch.decode())
    except ValueError:
        return None
