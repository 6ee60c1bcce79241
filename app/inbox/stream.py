"""A provider's inbox: a Redis Stream of deliveries that were answered 200 and are not yet in the ledger.

An entry stays until the ledger has committed it. If a consumer dies, its claimed entries stay pending, and another
consumer claims them.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from uuid_utils.compat import uuid7

from app import metrics
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.inbox import lua
from app.inbox.client import confirmed_by_replicas, translate_errors
from config.celery import ABANDONED_SECONDS, BATCH_ENTRIES

_GROUP = "workers"
# A batch ends at this size or at BATCH_ENTRIES.
_BATCH_BYTES = 8 * 1024 * 1024
# Released entries count as idle for longer than this.
_ABANDONED_MS = ABANDONED_SECONDS * 1000
_MAX_REASSIGNED = 10_000
# A wake-up counts as pending for this long if no worker clears it.
_WAKEUP_SECONDS = 5
_FIRST_ID = StreamId(0, 0)
_FORMAT_VERSION = b"1"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The server's count of an inbox: entries ever appended in this epoch, up to and including `last_id`."""

    epoch: UUID
    appended: int
    last_id: StreamId


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many entries wait, and how long the oldest has waited, 0 without one, by the server's clock.

    Everything received before `complete_until` has been acknowledged.
    """

    entries: int
    complete_until: datetime
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Result of an append: its epoch, entries appended in that epoch, stream id, and whether to publish a wake-up."""

    epoch: UUID
    count: int
    stream_id: StreamId
    publish_wakeup: bool


class Inbox:
    """The inbox of one provider."""

    def __init__(self, redis: Redis, provider: str, max_entries: int | None = None, replicas: int = 0) -> None:
        """Use a provider's inbox.

        With `max_entries` an append deletes the oldest entries beyond that number. An append counts as done when so
        many replicas have received it.
        """
        self._redis = redis
        self.provider = provider
        self._max_entries = max_entries
        self._replicas = replicas
        self._stream = f"inbox:{provider}"
        self._epoch_key = f"inbox:{provider}:epoch"
        # XADD does not return the server's own count of entries, so that appends count here.
        self._count_key = f"inbox:{provider}:appended"
        self._wakeup_key = f"wakeup:{provider}"
        # All keys on the server.
        self.keys = self._stream, self._epoch_key, self._count_key, self._wakeup_key

    def open(self) -> None:
        """Create stream, group and epoch if they are missing.

        The group starts at 0, never at $, so that existing entries are delivered. The epoch identifies one life of the
        stream: a server that was emptied gets a new one.
        """
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.set(self._epoch_key, str(uuid7()), nx=True)
            pipeline.xgroup_create(self._stream, _GROUP, "0", mkstream=True)
            for reply in pipeline.execute(raise_on_error=False):
                if isinstance(reply, RedisError) and "BUSYGROUP" not in str(reply):
                    raise reply

    def append(self, delivery: Delivery) -> AppendResult:
        """Append one delivery; see `append_all`."""
        return self.append_all([delivery])[0]

    def append_all(self, deliveries: Sequence[Delivery]) -> list[AppendResult]:
        """Append all deliveries or none and mark a wake-up as pending, in one round trip.

        The reply proves that the entries are on disk, with one fsync for all (checked at start: appendfsync always).
        At most the first result asks for a wake-up.

        Raises:
            StoreUnavailableError: Not proven. The entries may be there nevertheless, under the same receipts.
        """
        fields = [part for delivery in deliveries for pair in _to_fields(delivery).items() for part in pair]
        keys = self._stream, self._wakeup_key, self._epoch_key, self._count_key
        arguments = str(uuid7()), self._max_entries or "", _WAKEUP_SECONDS, len(fields) // len(deliveries)

        def append(client: Redis) -> Any:
            return client.eval(lua.APPEND, len(keys), *keys, *arguments, *fields)

        if self._replicas:
            reply = confirmed_by_replicas(self._redis, self._replicas, append)
        else:
            with translate_errors():
                reply = append(self._redis)
        epoch, last_count, marked, ids = reply
        epoch, first_count = UUID(epoch.decode()), last_count - len(ids) + 1
        return [
            AppendResult(epoch, first_count + index, StreamId.parse(stream_id), marked == 1 and index == 0)
            for index, stream_id in enumerate(ids)
        ]

    def mark_wakeup_pending(self) -> bool:
        """Mark a wake-up as pending for a delivery in the overflow; return whether to publish it."""
        with translate_errors():
            return self._redis.set(self._wakeup_key, 1, nx=True, ex=_WAKEUP_SECONDS) is True

    def clear_wakeup(self) -> None:
        """Let the next append publish a wake-up. Call it before `claim`, so that a later append does."""
        with translate_errors():
            self._redis.delete(self._wakeup_key)

    def claim(self, consumer: str) -> list[ReceivedDelivery]:
        """Claim a batch of entries that no consumer has claimed; empty if there are none."""
        return self._read(consumer)

    def pending(self, consumer: str, after: StreamId = _FIRST_ID) -> list[ReceivedDelivery]:
        """Return a batch of entries after `after` that `consumer` has claimed and not acknowledged."""
        batch = self._read(consumer, after)
        if not batch:
            return []
        first, last = str(batch[0].stream_id), str(batch[-1].stream_id)
        with translate_errors():
            pending: Any = self._redis.xpending_range(self._stream, _GROUP, first, last, _MAX_REASSIGNED, consumer)
        counts = {StreamId.parse(entry["message_id"]): entry["times_delivered"] for entry in pending}
        return [replace(received, delivery_count=counts.get(received.stream_id, 1)) for received in batch]

    def claim_abandoned(self, consumer: str) -> None:
        """Claim for `consumer` the entries that other consumers released, or have left idle for ABANDONED_SECONDS."""
        self._reassign(consumer, _ABANDONED_MS, {"idle": _ABANDONED_MS})

    def release(self, consumer: str) -> None:
        """Let other consumers claim every entry that `consumer` has claimed."""
        self._reassign(consumer, 0, {"consumername": consumer}, idle=_ABANDONED_MS * 10)

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete entries that the ledger holds, in one transaction."""
        ids = [str(received.stream_id) for received in batch]
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(self._stream, _GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            pipeline.execute()

    def backlog(self) -> Backlog:
        """Return how many entries wait, for how long, and until when the ledger is complete."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.xlen(self._stream)
            pipeline.xrange(self._stream, count=1)
            (seconds, micros), entries, oldest = pipeline.execute()
        now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros // 1000 * 1000)
        complete_until = StreamId.parse(oldest[0][0]).received_at if oldest else now
        return Backlog(entries, complete_until, (now - complete_until).total_seconds())

    def idle_seconds(self, exclude: str) -> float:
        """Return how long ago a consumer other than `exclude` last read the inbox; infinity if there is no other."""
        others = [entry["idle"] / 1000 for entry in self._consumers() if entry["name"].decode() != exclude]
        return min(others, default=float("inf"))

    def consumers_with_claims(self) -> list[str]:
        """Return the consumers that hold claims."""
        return [entry["name"].decode() for entry in self._consumers() if entry["pending"]]

    def info(self) -> StreamInfo:
        """Return the server's own count of appends, for the audit."""
        epoch, info = self._in_group(lambda pipeline: pipeline.xinfo_stream(self._stream))
        return StreamInfo(epoch, info["entries-added"], StreamId.parse(info["last-generated-id"]))

    def stream_ids(self, until: StreamId) -> list[StreamId]:
        """Return the ids of all entries up to `until`, in order."""
        return [StreamId.parse(stream_id) for stream_id, _ in self._ids_and_receipts(str(until))]

    def receipts(self) -> set[UUID]:
        """Return the receipts of all waiting entries. Entries appended meanwhile may be included or not."""
        return {UUID(bytes=receipt) for _, receipt in self._ids_and_receipts("+") if len(receipt) == 16}

    def _ids_and_receipts(self, last: str) -> Iterator[tuple[bytes, bytes]]:
        start = "-"
        while True:
            with translate_errors():
                reply: Any = self._redis.eval_ro(lua.RECEIPTS, 1, self._stream, start, last)
            if not reply:
                return
            yield from zip(reply[::2], reply[1::2], strict=True)
            start = f"({reply[-2].decode()}"

    def _consumers(self) -> list[Any]:
        consumers: list[Any] = self._in_group(lambda pipeline: pipeline.xinfo_consumers(self._stream, _GROUP))[1]
        return consumers

    def _reassign(self, consumer: str, min_idle_ms: int, which: dict[str, Any], idle: int | None = None) -> None:
        """Assign pending entries to `consumer`; their delivery counts stay."""
        _, pending = self._in_group(
            lambda pipeline: pipeline.xpending_range(self._stream, _GROUP, "-", "+", _MAX_REASSIGNED, **which)
        )
        if pending:
            ids = [entry["message_id"] for entry in pending]
            with translate_errors():
                self._redis.xclaim(self._stream, _GROUP, consumer, min_idle_ms, ids, idle=idle, justid=True)

    def _read(self, consumer: str, after: StreamId | None = None) -> list[ReceivedDelivery]:
        """Return a batch: what `consumer` has claimed after an entry, or without one, what it claims now."""
        batch: list[ReceivedDelivery] = []
        size, more = 0, True
        while more and len(batch) < BATCH_ENTRIES and size < _BATCH_BYTES:
            epoch, (entries, more) = self._read_some(consumer, ">" if after is None else str(after))
            for stream_id, fields in entries:
                size += sum(map(len, fields or ()))
                batch += self._to_received(epoch, stream_id, fields)
            if after is not None and entries:
                after = StreamId.parse(entries[-1][0])
        return batch

    def _read_some(self, consumer: str, start: str) -> tuple[UUID, Any]:
        return self._in_group(lambda pipeline: pipeline.eval(lua.READ, 1, self._stream, _GROUP, consumer, start))

    def _to_received(self, epoch: UUID, stream_id: bytes, fields: list[bytes] | None) -> list[ReceivedDelivery]:
        """Return the delivery of an entry, whose fields are names and values in turn; empty if it is unreadable."""
        if not fields:  # deleted, but still pending
            with translate_errors():
                self._redis.xack(self._stream, _GROUP, stream_id)
            return []
        try:
            delivery = _to_delivery(self.provider, dict(zip(fields[::2], fields[1::2], strict=True)))
        except (KeyError, ValueError):
            metrics.PROCESSING_ERRORS.labels(self.provider, "not-readable").inc()
            context = {"provider": self.provider, "entry": stream_id.decode()}
            logger.error("entry_unreadable", extra=context)  # noqa: TRY400 - the error may quote values
            return []
        parsed_id = StreamId.parse(stream_id)
        return [ReceivedDelivery(delivery, parsed_id.received_at, epoch, parsed_id)]

    def _in_group(self, command: Callable[[Pipeline], Any]) -> tuple[UUID, Any]:
        """Run a command that needs the group; return the epoch in which it ran, and its reply.

        The group is created only after the command failed: a full server refuses to create it, and a worker that
        starts then must still drain.
        """
        with translate_errors():
            try:
                return self._in_epoch(command)
            except ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    raise
            self.open()
            return self._in_epoch(command)

    def _in_epoch(self, command: Callable[[Pipeline], Any]) -> tuple[UUID, Any]:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.get(self._epoch_key)
        command(pipeline)
        epoch, reply = pipeline.execute()
        if epoch is None:
            raise ResponseError("NOGROUP the inbox is not open")
        return UUID(epoch.decode()), reply


# The fields of a stream entry.


def _to_fields(delivery: Delivery) -> dict[str, bytes]:
    return {
        "v": _FORMAT_VERSION,
        "receipt": delivery.receipt.bytes,
        "topic": delivery.topic.encode(),
        "headers": json.dumps(dict(delivery.headers)).encode(),
        "sealed": delivery.sealed,
    }


def _to_delivery(provider: str, fields: dict[bytes, bytes]) -> Delivery:
    """Return the delivery; raises KeyError or ValueError for an entry of another format."""
    if fields[b"v"] != _FORMAT_VERSION:
        raise ValueError("written by a newer version")
    return Delivery(
        receipt=UUID(bytes=fields[b"receipt"]),
        provider=provider,
        topic=fields[b"topic"].decode(),
        headers=json.loads(fields[b"headers"]),
        sealed=fields[b"sealed"],
    )
