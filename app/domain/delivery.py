"""A delivery: one HTTP request that was received, sealed or opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID


class StreamId(NamedTuple):
    """Where an entry stands in its inbox: the stream id's two halves. Positions order entries."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, stream_id: bytes) -> "StreamId":
        """Read a stream id, `ms-seq`."""
        ms, _, seq = stream_id.partition(b"-")
        return cls(int(ms), int(seq))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def received_at(self) -> datetime:
        """The time of receipt, by the inbox server's clock."""
        return datetime.fromtimestamp(self.ms // 1000, UTC).replace(microsecond=self.ms % 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request received: authenticated, its body sealed.

    `topic` is the URL's last segment, or what the provider names in a header; `headers` are those
    that the provider's own code asked to keep.
    """

    receipt: UUID
    provider: str
    topic: str
    headers: Mapping[str, str]
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """A delivery as the ledger takes it: with its time of receipt and, unless replayed, its place in the inbox.

    `epoch` names the life of the inbox that `position` belongs to: an emptied or replaced server begins a new one.
    `claims` counts how often a worker took it up: more than a few times, and it may be what ends its workers.
    """

    delivery: Delivery
    received_at: datetime
    epoch: UUID
    stream_id: StreamId
    delivery_count: int = 1


@dataclass(frozen=True, slots=True)
class Payload:
    """A delivery's content in clear: a JSON object. Lives in memory only.

    `opened_by` is the id of the provider's key that opened it, if it was encrypted.
    """

    topic: str
    headers: Mapping[str, str]
    content: Mapping[str, Any]
    opened_by: str | None = None
