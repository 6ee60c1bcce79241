"""Encodes a delivery into the fields of a stream entry, and back."""

import json
from uuid import UUID

from app.domain.delivery import Delivery

_VERSION = b"1"


def to_fields(delivery: Delivery) -> dict[str, bytes]:
    """Return the fields of a delivery's entry."""
    return {
        "v": _VERSION,
        "receipt": delivery.receipt.bytes,
        "topic": delivery.topic.encode(),
        "headers": json.dumps(dict(delivery.headers)).encode(),
        "sealed": delivery.sealed,
    }


def to_delivery(provider: str, fields: dict[bytes, bytes]) -> Delivery:
    """Return the delivery; raises KeyError or ValueError for an entry of another format."""
    if fields[b"v"] != _VERSION:
        raise ValueError("written by a newer version")
    return Delivery(
        receipt=UUID(bytes=fields[b"receipt"]),
        provider=provider,
        topic=fields[b"topic"].decode(),
        headers=json.loads(fields[b"headers"]),
        sealed=fields[b"sealed"],
    )
