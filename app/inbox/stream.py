"""A provider's inbox: a Redis Stream of deliveries that were answered 200 and are not yet in the ledger.

An entry stays until the ledger has committed it. If a consumer dies, its claimed entries stay pending, and another
consumer claims them.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from uuid_utils.compat import uuid7

from app import metrics
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId, WaitingEntry
from app.domain.high_water_mark import HighWaterMark, new_epoch
from app.inbox import codec, lua
from app.inbox.client import confirmed_by_replicas, translate_errors
from app.inbox.results import AppendResult, Backlog
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
logger = logging.getLogger(__name__)


def _machine_time_ms() -> int:
    return time.time_ns() // 1_000_000


class Inbox:
    """The inbox of one provider."""

    def __init__(
        self,
        redis: Redis,
        provider: str,
        max_entries: int | None = None,
        replicas: int = 0,
        time_ms: Callable[[], int] = _machine_time_ms,
    ) -> None:
        """Use a provider's inbox.

        With `max_entries` an append deletes the oldest entries beyond that number. An append counts as done when so
        many replicas have received it. `time_ms` returns the time of receipt of what is appended now, in milliseconds
        since 1970.
        """
        self._redis = redis
        self.provider = provider
        self._max_entries = max_entries
        self._replicas = replicas
        self._time_ms = time_ms
        self._stream = f"inbox:{provider}"
        # A hash: the epoch, the number of entries appended in it, the last one's stream id, and for each writer the
        # number at its own last append. One key, so that no part of it can be lost alone.
        self._state_key = f"inbox:{provider}:state"
        self._wakeup_key = f"wakeup:{provider}"
        # All keys on the server.
        self.keys = self._stream, self._state_key, self._wakeup_key
        self._writer = str(uuid7())
        self._confirmed: HighWaterMark | None = None

    def open(self) -> None:
        """Create stream, group and epoch if they are missing.

        The group starts at 0, never at $, so that existing entries are delivered. The epoch identifies one life of the
        inbox: a server that was emptied, or set back to an earlier state, gets a new one.
        """
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.hsetnx(self._state_key, "epoch", str(new_epoch()))
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
        At most the first result asks for a wake-up. If the server lacks what earlier appends of this object had
        confirmed, it was set back: the append begins another epoch, so that it cannot fill the gap.

        Raises:
            StoreUnavailableError: Not proven. The entries may be there nevertheless, under the same receipts.
        """
        known = self._confirmed
        known_epoch, confirmed = (str(known.epoch), known.appended) if known else ("", 0)
        to_open = str(new_epoch(after=known and known.epoch))
        fields = [part for delivery in deliveries for pair in codec.to_fields(delivery).items() for part in pair]
        keys = self._stream, self._wakeup_key, self._state_key
        arguments = (
            self._writer, known_epoch, confirmed, to_open, self._time_ms(), self._max_entries or "", _WAKEUP_SECONDS,
            len(fields) // len(deliveries),
        )  # fmt: skip

        def append(client: Redis) -> Any:
            return client.eval(lua.APPEND, len(keys), *keys, *arguments, *fields)

        if self._replicas:
            size = sum(len(delivery.sealed) for delivery in deliveries)
            reply = confirmed_by_replicas(self._redis, self._replicas, append, size)
        else:
            with translate_errors():
                reply = append(self._redis)
        epoch, appended, marked, ids = reply
        epoch, before = UUID(epoch.decode()), appended - len(ids)
        marks = [HighWaterMark(epoch, before + n, StreamId.parse(stream_id)) for n, stream_id in enumerate(ids, 1)]
        self._confirmed = marks[-1]
        if known and known.epoch != epoch:
            context = {"provider": self.provider, "epoch": known.epoch, "confirmed": known.appended, "began": epoch}
            logger.error("epoch_ended", extra=context)
        return [AppendResult(mark, marked == 1 and index == 0) for index, mark in enumerate(marks)]

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

    def read(self, after: StreamId = _FIRST_ID) -> Iterator[ReceivedDelivery]:
        """Yield all entries after `after`, whether a consumer has claimed them or not, without claiming them."""
        entries: Any = True
        while entries:
            with translate_errors():
                entries = self._redis.xrange(self._stream, f"({after}", count=10)
            for stream_id, fields in entries:
                after = StreamId.parse(stream_id)
                yield from self._to_received(stream_id, [part for pair in fields.items() for part in pair])

    def claim_abandoned(self, consumer: str) -> None:
        """Claim for `consumer` the entries that other consumers released, or have left idle for ABANDONED_SECONDS."""
        self._reassign(consumer, _ABANDONED_MS, {"idle": _ABANDONED_MS})

    def recover_skipped(self) -> int:
        """Have the entries claimed again that no consumer has, and that the group has passed; return their number.

        Another client may have acknowledged them, or moved the group ahead: they would wait for good.
        """
        with translate_errors():
            return int(self._redis.eval(lua.RECOVER_SKIPPED, 1, self._stream, _GROUP))

    def release(self, consumer: str) -> None:
        """Let other consumers claim every entry that `consumer` has claimed."""
        self._reassign(consumer, 0, {"consumername": consumer}, idle=_ABANDONED_MS * 10)

    def acknowledge(self, batch: Sequence[ReceivedDelivery]) -> None:
        """Delete entries that the ledger holds, in one step."""
        ids = [str(received.stream_id) for received in batch]
        with translate_errors():
            self._redis.eval(lua.ACKNOWLEDGE, 1, self._stream, _GROUP, *ids)

    def backlog(self) -> Backlog:
        """Return how many entries wait, when the oldest was received, and the server's clock just before."""
        with translate_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.time()
            pipeline.xlen(self._stream)
            pipeline.xrange(self._stream, count=1)
            (seconds, micros), entries, oldest = pipeline.execute()
        oldest_at = StreamId.parse(oldest[0][0]).received_at if oldest else None
        return Backlog(entries, oldest_at, datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros))

    def idle_seconds(self, exclude: str) -> float:
        """Return how long ago a consumer other than `exclude` last read the inbox; infinity if there is no other."""
        others = [entry["idle"] / 1000 for entry in self._consumers() if entry["name"].decode() != exclude]
        return min(others, default=float("inf"))

    def remove_idle_consumers(self, idle: timedelta) -> int:
        """Remove the consumers that have not read for so long and hold no claim; return their number."""
        milliseconds = int(idle.total_seconds() * 1000)
        return int(self._in_group(lambda: self._redis.eval(lua.REMOVE_IDLE, 1, self._stream, _GROUP, milliseconds)))

    def consumers_with_claims(self) -> list[str]:
        """Return the consumers that hold claims."""
        return [entry["name"].decode() for entry in self._consumers() if entry["pending"]]

    def mark(self) -> HighWaterMark:
        """Return the epoch, how many entries were appended in it, and the last one's stream id."""
        epoch, appended, last_id = self._state()
        if epoch is None:
            self.open()
            epoch, appended, last_id = self._state()
        return HighWaterMark(UUID(epoch.decode()), int(appended or 0), StreamId.parse(last_id or b"0-0"))

    def end_epoch(self, epoch: UUID, newest: UUID) -> bool:
        """End `epoch`, unless it ended already, and open one later than `newest`. Return whether this call ended it."""
        with translate_errors():
            arguments = str(epoch), str(new_epoch(after=newest))
            return bool(self._redis.eval(lua.END_EPOCH, 1, self._state_key, *arguments))

    def waiting(self) -> list[WaitingEntry]:
        """Return each delivery that waits. Entries appended meanwhile may be included or not."""
        found = ((codec.parse_epoch(epoch), stream_id, receipt) for stream_id, epoch, receipt in self._identities())
        return [
            WaitingEntry(epoch, StreamId.parse(stream_id), UUID(bytes=receipt) if len(receipt) == 16 else None)
            for epoch, stream_id, receipt in found
            if epoch
        ]

    def receipts(self) -> set[UUID]:
        """Return the receipts of all waiting entries. Entries appended meanwhile may be included or not."""
        return {UUID(bytes=receipt) for _, _, receipt in self._identities() if len(receipt) == 16}

    def _state(self) -> Any:
        with translate_errors():
            return self._redis.hmget(self._state_key, "epoch", "appended", "last_id")

    def _identities(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield stream id, epoch and receipt of each entry; empty where an entry lacks one."""
        start, more = "-", 1
        while more:
            with translate_errors():
                reply: Any = self._redis.eval_ro(lua.RECEIPTS, 1, self._stream, start)
            found, more = reply
            yield from zip(found[::3], found[1::3], found[2::3], strict=True)
            start = f"({found[-3].decode()}" if found else "-"

    def _consumers(self) -> list[Any]:
        consumers: list[Any] = self._in_group(lambda: self._redis.xinfo_consumers(self._stream, _GROUP))
        return consumers

    def _reassign(self, consumer: str, min_idle_ms: int, which: dict[str, Any], idle: int | None = None) -> None:
        """Assign pending entries to `consumer`; their delivery counts stay."""
        pending = self._in_group(
            lambda: self._redis.xpending_range(self._stream, _GROUP, "-", "+", _MAX_REASSIGNED, **which)
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
            entries, more = self._read_some(consumer, ">" if after is None else str(after))
            for stream_id, fields in entries:
                size += sum(map(len, fields or ()))
                batch += self._to_received(stream_id, fields)
            if after is not None and entries:
                after = StreamId.parse(entries[-1][0])
        return batch

    def _read_some(self, consumer: str, start: str) -> Any:
        return self._in_group(lambda: self._redis.eval(lua.READ, 1, self._stream, _GROUP, consumer, start))

    def _to_received(self, stream_id: bytes, fields: list[bytes] | None) -> list[ReceivedDelivery]:
        """Return the delivery of an entry, whose fields are names and values in turn; empty if it is unreadable."""
        if not fields:  # deleted, but still pending
            with translate_errors():
                self._redis.xack(self._stream, _GROUP, stream_id)
            return []
        try:
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            return [codec.to_received(self.provider, StreamId.parse(stream_id), named)]
        except (KeyError, ValueError, OverflowError):
            metrics.PROCESSING_ERRORS.labels(self.provider, "not-readable").inc()
            context = {"provider": self.provider, "entry": stream_id.decode()}
            logger.error("entry_unreadable", extra=context)  # noqa: TRY400 - the error may quote values
            return []

    def _in_group(self, command: Callable[[], Any]) -> Any:
        """Return the reply to a command that needs the group.

        The group is created only after the command failed: a full server refuses to create it, and a worker that
        starts then must still drain.
        """
        with translate_errors():
            try:
                return command()
            except ResponseError as error:
                if "NOGROUP" not in str(error) and "no such key" not in str(error):
                    raise
            self.open()
            return command()
