"""A delivery: one HTTP request that was accepted, sealed or opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID


class StreamId(NamedTuple):
    """The id of an entry in its inbox, in two parts. Stream ids sort entries by time of receipt."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, stream_id: bytes) -> "StreamId":
        """Parse the form `ms-seq`."""
        ms, _, seq = stream_id.partition(b"-")
        return cls(int(ms), int(seq))

    @classmethod
    def at(cls, received_at: datetime, seq: int) -> "StreamId":
        """Return the id of an entry that the ledger knows by its time of receipt and its number in that millisecond."""
        return cls(round(received_at.timestamp() * 1000), seq)

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def received_at(self) -> datetime:
        """The time of receipt."""
        return datetime.fromtimestamp(self.ms // 1000, UTC).replace(microsecond=self.ms % 1000 * 1000)


class WaitingEntry(NamedTuple):
    """An entry of an inbox that was seen waiting; `receipt` is None if it is unreadable."""

    epoch: UUID
    stream_id: StreamId
    receipt: UUID | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authenticated request with its body sealed.

    `topic` is the last segment of the URL, or the value of a header of the provider. `headers` holds only the headers
    that the provider's authentication keeps. `traceparent` names its trace, if it is traced.
    """

    receipt: UUID
    provider: str
    topic: str
    headers: Mapping[str, str]
    sealed: bytes
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """A delivery as the ledger takes it in, with its time of receipt and its place in the inbox.

    `epoch` is the life of the inbox that `stream_id` belongs to: a server that was emptied, replaced or set back begins
    a new epoch.
    `delivery_count` counts how often a worker claimed it. A high count suggests that it crashes workers.
    """

    delivery: Delivery
    received_at: datetime
    epoch: UUID
    stream_id: StreamId
    delivery_count: int = 1


@dataclass(frozen=True, slots=True)
class Payload:
    """The clear content of a delivery, a JSON object. It exists in memory only.

    `opened_by` is the id of the provider's key that decrypted it, None if it was not encrypted. `body_digest` is a
    digest of an encrypted body: each try has a random IV, so two equal bodies are one try that was sent on twice.
    `duplicates` are the keys of `content` that occur twice, or hold an object with such a key.
    """

    topic: str
    headers: Mapping[str, str]
    content: Mapping[str, Any]
    opened_by: str | None = None
    body_digest: str | None = None
    duplicates: frozenset[str] = frozenset()
