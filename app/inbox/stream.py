"""A provider's inbox: a Redis Stream of deliveries that were answered 200 and are not in the ledger yet.

The only code that knows the stream. An entry stays until it is deleted after the ledger's commit;
who claims one and dies leaves it pending, and another takes it over.
"""

import logging
from collections.abc import Callable, Sequence
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
from app.inbox import lua, wakeup
from app.inbox.client import translate_errors
from app.inbox.codec import to_delivery, to_fields
from config.celery import ABANDONED_SECONDS, BATCH_ENTRIES

_GROUP = "workers"
# A batch ends at either bound.
_BATCH_BYTES = 8 * 1024 * 1024
# Released entries count as idle for longer than this.
_ABANDONED_MS = ABANDONED_SECONDS * 1000
_REASSIGNED = 10_000
_FIRST = StreamId(0, 0)
# An entry as the server tells it: its id, and names and values of its fields in turn; none of one that was deleted.
_Entry = tuple[bytes, list[bytes] | None]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What an inbox says of itself at one moment.

    `appended` counts entries ever appended in this epoch, up to and including position `last`.
    """

    epoch: UUID
    appended: int
    last_id: StreamId


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many entries wait, and the moment before which none does."""

    entries: int
    complete_until: datetime


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Where an entry stands now, the how-manieth of which epoch it is, and whether whoever appended it has to ring."""

    epoch: UUID
    count: int
    stream_id: StreamId
    publish_wakeup: bool


class Inbox:
    """The inbox of one provider."""

    def __init__(self, redis: Redis, provider: str, kept: int | None = None) -> None:
        """Open the inbox; of entries that may be lost, no more than the `kept` newest stay."""
        self._redis = redis
        self.provider = provider
        self._kept = kept
        self._stream = f"inbox:{provider}"
        self._epoch_key = f"inbox:{provider}:epoch"
        # The server's own count of entries is not in an append's reply; this one is.
        self._count_key = f"inbox:{provider}:appended"

    def open(self) -> None:
        """Make stream, group and epoch where they are missing.

        The group begins at 0, never at $: entries that are there already are to be delivered. The epoch
        names this life of the stream; a server that was emptied gets a new one.
        """
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.set(self._epoch_key, str(uuid7()), nx=True)
            pipeline.xgroup_create(self._stream, _GROUP, "0", mkstream=True)
            for reply in pipeline.execute(raise_on_error=False):
                if isinstance(reply, RedisError) and "BUSYGROUP" not in str(reply):
                    raise reply

    def append(self, delivery: Delivery) -> AppendResult:
        """Append one delivery, as `append_all` does."""
        return self.append_all([delivery])[0]

    def append_all(self, deliveries: Sequence[Delivery]) -> list[AppendResult]:
        """Append durably and press the doorbell, in one round trip and one step; all of them or none.

        The reply proves that the entries are on disk (checked at start: appendfsync always), by one fsync for all.
        Only the first is told to ring.

        Raises:
            StoreUnavailableError: Not proven. The entries may be there all the same, under the same receipts.
        """
        fields = [part for delivery in deliveries for pair in to_fields(delivery).items() for part in pair]
        keys = self._stream, wakeup.key(self.provider), self._epoch_key, self._count_key
        arguments = str(uuid7()), self._kept or "", wakeup.SECONDS, len(fields) // len(deliveries)
        with translate_errors():
            reply: Any = self._redis.eval(lua.APPEND, len(keys), *keys, *arguments, *fields)
        epoch, last, pressed, ids = reply
        life, first = UUID(epoch.decode()), last - len(ids) + 1
        return [
            AppendResult(life, first + index, StreamId.parse(stream_id), pressed == 1 and index == 0)
            for index, stream_id in enumerate(ids)
        ]

    def mark_wakeup_pending(self) -> bool:
        """Press the doorbell for what was kept elsewhere; return whether to ring it."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            wakeup.mark_pending(pipeline, self.provider)
            (pressed,) = pipeline.execute()
        return pressed is True

    def clear_wakeup(self) -> None:
        """Let the next append ring again."""
        with translate_errors():
            wakeup.clear(self._redis, self.provider)

    def claim(self, consumer: str) -> list[ReceivedDelivery]:
        """Claim a batch of entries that nobody had yet; empty if there are none."""
        return self._read(consumer, lambda _: ">")

    def pending(self, consumer: str, after: StreamId = _FIRST) -> list[ReceivedDelivery]:
        """Return a batch of what `consumer` claimed earlier and has not acknowledged, beyond `after`."""
        batch = self._read(consumer, lambda last: str(last or after))
        return self._with_claims(consumer, batch) if batch else []

    def claim_abandoned(self, consumer: str) -> None:
        """Make what others abandoned or released `consumer`'s own pending entries."""
        self._reassign(consumer, _ABANDONED_MS, {"idle": _ABANDONED_MS})

    def release(self, consumer: str) -> None:
        """Leave everything `consumer` has pending to whoever comes first."""
        self._reassign(consumer, 0, {"consumername": consumer}, idle=_ABANDONED_MS * 10)

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete entries that are in the ledger now, in one step: none is left half acknowledged."""
        ids = [str(received.stream_id) for received in batch]
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(self._stream, _GROUP, *ids)
            pipeline.xdel(self._stream, *ids)
            pipeline.execute()

    def backlog(self) -> Backlog:
        """Look at what waits: everything received before `complete_until` has been acknowledged."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.xlen(self._stream)
            pipeline.xrange(self._stream, count=1)
            (seconds, micros), entries, oldest = pipeline.execute()
        if oldest:
            return Backlog(entries, StreamId.parse(oldest[0][0]).received_at)
        return Backlog(0, datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros // 1000 * 1000))

    def oldest_seconds(self) -> float:
        """Return how long the oldest entry has been waiting, by the server's own clock; 0 if none is."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.time()
            pipeline.xrange(self._stream, count=1)
            (seconds, micros), oldest = pipeline.execute()
        return seconds + micros / 1e6 - StreamId.parse(oldest[0][0]).ms / 1000 if oldest else 0.0

    def idle_seconds(self, exclude: str) -> float:
        """Return for how long no consumer has looked in, not counting one; endless if there is no other."""
        others = [each["idle"] / 1000 for each in self._consumers() if each["name"].decode() != exclude]
        return min(others, default=float("inf"))

    def consumers_with_claims(self) -> list[str]:
        """Return who holds claims."""
        return [each["name"].decode() for each in self._consumers() if each["pending"]]

    def info(self) -> StreamInfo:
        """Read the server's own count of appends, for the audit."""
        with translate_errors():
            epoch, info = self._grouped(lambda pipeline: pipeline.xinfo_stream(self._stream))
        return StreamInfo(epoch, info["entries-added"], StreamId.parse(info["last-generated-id"]))

    def stream_ids(self, until: StreamId) -> list[StreamId]:
        """Return the positions of all entries up to `until`, in order."""
        found: list[StreamId] = []
        while True:
            start = f"({found[-1]}" if found else "-"
            with translate_errors():
                portion = self._redis.eval_ro(lua.POSITIONS, 1, self._stream, start, str(until))
            if not portion:
                return found
            found += map(StreamId.parse, portion)

    def _consumers(self) -> list[Any]:
        with translate_errors():
            found: list[Any] = self._grouped(lambda pipeline: pipeline.xinfo_consumers(self._stream, _GROUP))[1]
        return found

    def _reassign(self, consumer: str, min_idle_ms: int, which: dict[str, Any], idle: int | None = None) -> None:
        """Give pending entries to `consumer`, without counting it as a delivery."""
        with translate_errors():
            _, found = self._grouped(
                lambda pipeline: pipeline.xpending_range(self._stream, _GROUP, "-", "+", _REASSIGNED, **which)
            )
            if found:
                ids = [entry["message_id"] for entry in found]
                self._redis.xclaim(self._stream, _GROUP, consumer, min_idle_ms, ids, idle=idle, justid=True)

    def _read(self, consumer: str, start: Callable[[StreamId | None], str]) -> list[ReceivedDelivery]:
        batch: list[ReceivedDelivery] = []
        last: StreamId | None = None
        size, more = 0, True
        while more and len(batch) < BATCH_ENTRIES and size < _BATCH_BYTES:
            epoch, entries, more = self._portion(consumer, start(last))
            for stream_id, fields in entries:
                size += sum(map(len, fields or ()))
                batch += self._received(epoch, stream_id, fields)
            last = StreamId.parse(entries[-1][0]) if entries else None
        return batch

    def _with_claims(self, consumer: str, batch: list[ReceivedDelivery]) -> list[ReceivedDelivery]:
        """Return the entries with how often each was handed out, by the server's own count."""
        first, last = str(batch[0].stream_id), str(batch[-1].stream_id)
        with translate_errors():
            found: Any = self._redis.xpending_range(self._stream, _GROUP, first, last, _REASSIGNED, consumer)
        claims = {StreamId.parse(entry["message_id"]): entry["times_delivered"] for entry in found}
        return [replace(received, delivery_count=claims.get(received.stream_id, 1)) for received in batch]

    def _portion(self, consumer: str, start: str) -> tuple[UUID, list[_Entry], bool]:
        """Claim some entries; return them with their epoch, and whether there may be more."""
        with translate_errors():
            epoch, (entries, more) = self._grouped(
                lambda pipeline: pipeline.eval(lua.READ, 1, self._stream, _GROUP, consumer, start)
            )
        return epoch, entries, bool(more)

    def _received(self, epoch: UUID, stream_id: bytes, fields: list[bytes] | None) -> list[ReceivedDelivery]:
        """Return what was received; nothing for an entry that is gone or cannot be read."""
        if not fields:  # deleted, yet still pending
            with translate_errors():
                self._redis.xack(self._stream, _GROUP, stream_id)
            return []
        try:
            delivery = to_delivery(self.provider, dict(zip(fields[::2], fields[1::2], strict=True)))
        except (KeyError, ValueError):
            metrics.PROCESSING_ERRORS.labels(self.provider, "not-readable").inc()
            logger.error("entry not readable, left in the inbox", extra={"entry": stream_id.decode()})  # noqa: TRY400
            return []
        position = StreamId.parse(stream_id)
        return [ReceivedDelivery(delivery, position.received_at, epoch, position)]

    def _grouped(self, command: Callable[[Pipeline], Any]) -> tuple[UUID, Any]:
        """Run a command that needs the group; return the epoch in which it ran, and its reply.

        The group is made only where it is missing: on a full server that would be refused, and a worker
        that starts then must still drain.
        """
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
            raise ResponseError("NOGROUP opened by none")
        return UUID(epoch.decode()), reply
