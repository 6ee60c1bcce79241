"""Delivers events in the background: attempts, waits and retries, with all timers in memory."""

import asyncio
import ssl
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import Self

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.faults import FAULTS, FIRST_ANSWER_LOST, HELD_SECONDS
from app.sandbox.hooks import Event, FinalStatus, Hook
from app.sandbox.http_attempt import Answer, Cut, transmit
from app.tls import LOOPBACK_DIRECT

# What comes next, where the final status does not say it.
_FINAL_STATUS_TEXTS: dict[FinalStatus, str] = {
    "lost": "the timer of the next attempt is lost",
    "cancelled": "the subscription is cancelled",
    "dropped": "no further attempt: the subscription was removed",
}
# A selector wakes up to a millisecond late, so the last stretch of a wait is polled.
_POLLED_SECONDS = 0.002
# A task may miss a cancellation that arrives together with what it waits for; it is cancelled again after this long.
_CANCEL_SECONDS = 0.5


@dataclass(slots=True)
class _Delivery:
    """One event on its way to one hook; its next attempt is due at `due`, in monotonic seconds."""

    hook: Hook
    event: Event
    fault: str | None
    due: float
    abandoned_as: FinalStatus | None = None
    _abandoned: asyncio.Event = field(default_factory=asyncio.Event)

    def abandon(self, status: FinalStatus) -> None:
        """Make no further attempt; one that is under way ends normally."""
        self.abandoned_as = status
        self._abandoned.set()

    async def wait_until_due(self) -> None:
        """Wait for the next attempt, or until the delivery is abandoned."""
        left = self.due - time.monotonic()
        if left > _POLLED_SECONDS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._abandoned.wait(), left - _POLLED_SECONDS)
        while self.abandoned_as is None and time.monotonic() < self.due:
            await asyncio.sleep(0)


class Dispatcher:
    """Delivers by the rules of the hooks' providers; `speed` divides their waits, never their time-outs.

    concurrency: how many attempts run at once, at most. trust: accepted certificates; default: the system's.
    on_attempt: receives attempts as they end. on_failure: receives one line for each failed attempt.
    on_cancelled: receives a hook that its receiver cancelled, once nothing more is sent to it.
    All three run in the dispatcher's thread.
    pending: how many deliveries have not ended. final_statuses: how many ended with each status.
    max_delay_seconds: the longest time by which an attempt started late, as slots or processor time were short.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all but the first few are named
        self,
        on_attempt: Callable[[DeliveryAttempt], None] | None = None,
        speed: float = 1.0,
        trust: ssl.SSLContext | None = None,
        concurrency: int = 64,
        on_cancelled: Callable[[Hook], None] | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.final_statuses: Counter[FinalStatus] = Counter()
        self.max_delay_seconds = 0.0
        self._on_attempt, self._on_cancelled, self._on_failure = on_attempt, on_cancelled, on_failure
        self._speed = speed
        # The time-out of an attempt covers all of it; connections are limited by the number of slots.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
        self._client = httpx.AsyncClient(verify=trust or True, timeout=None, limits=limits, mounts=LOOPBACK_DIRECT)  # noqa: S113
        self._slots = asyncio.Semaphore(concurrency)
        self._running: dict[asyncio.Task[None], _Delivery] = {}
        self.pending = 0
        self._failure: Exception | None = None
        self._changed = Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="dispatcher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Abandon what is pending, and close the connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, hook: Hook, event: Event, fault: str | None = None) -> None:
        """Start delivering an event; raises KeyError for an unknown fault, and what `wait` raises."""
        self._raise_failure()
        if fault is not None and fault not in FAULTS:
            raise KeyError(fault)
        due = time.monotonic() + (HELD_SECONDS if fault == "reorder" else 0)
        for _ in range(2 if fault == "duplicate" else 1):
            self._change_pending(1)
            self._loop.call_soon_threadsafe(self._start, _Delivery(hook, event, fault, due))

    def lose_timers(self) -> int:
        """Forget every retry that waits for its time, as a restart of the provider does; return how many."""
        return asyncio.run_coroutine_threadsafe(self._lose_timers(), self._loop).result()

    def drop(self, hook: Hook) -> None:
        """Send nothing more to a hook; an attempt that is under way ends normally."""
        self._loop.call_soon_threadsafe(self._abandon, hook)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is pending; return whether that is so. Raises what a hook or `on_attempt` raised."""
        with self._changed:
            self._changed.wait_for(lambda: not self.pending or self._failure is not None, seconds)
            self._raise_failure()
            return not self.pending

    def watch(self, seconds: float | None = None) -> None:
        """Wait for some time, by default for ever; raises what a hook or `on_attempt` raises meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None, seconds)
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _change_pending(self, difference: int) -> None:
        with self._changed:
            self.pending += difference
            self._changed.notify_all()

    # What follows runs in the dispatcher's thread, to which all deliveries belong.

    def _start(self, delivery: _Delivery) -> None:
        task = self._loop.create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._change_pending(-1)

    async def _run(self, delivery: _Delivery) -> None:
        try:
            status = await self._deliver(delivery)
            self.final_statuses[status] += 1
            if status == "delivered" and delivery.fault == "corrected" and delivery.abandoned_as is None:
                self.send(delivery.hook, delivery.hook.corrected(delivery.event))
            if status == "cancelled":
                self._abandon(delivery.hook)
                if self._on_cancelled is not None:
                    self._on_cancelled(delivery.hook)
        except Exception as error:
            self._failure = error  # raised by the next call of send, wait or watch

    async def _deliver(self, delivery: _Delivery) -> FinalStatus:
        """Make attempts until there is none left to make; return the final status."""
        hook, waits, number = delivery.hook, iter(delivery.hook.waits), 0
        while True:
            number += 1
            await delivery.wait_until_due()
            async with self._slots:
                if delivery.abandoned_as is not None:
                    return delivery.abandoned_as
                status, answer, ended = await self._attempt(delivery, number)
            wait = next(waits, None)
            if status is None and wait is None:
                status = "given up"
            elif status is None:
                status = "lost" if delivery.fault == "lost-timers" else delivery.abandoned_as
            wait_seconds = (wait or 0) / self._speed
            if status != "delivered" and self._on_failure is not None:
                next_step = _next_step_text(status, wait_seconds)
                self._on_failure(f"{hook.provider} {hook.topic}, attempt {number}: {answer.cause}; {next_step}")
            if status is not None:
                return status
            delivery.due = ended + wait_seconds

    async def _attempt(self, delivery: _Delivery, number: int) -> tuple[FinalStatus | None, Answer, float]:
        """Make one attempt; return the final status, None if another may follow, the answer, and when it ended."""
        hook, event, fault = delivery.hook, delivery.event, delivery.fault
        self.max_delay_seconds = max(self.max_delay_seconds, time.monotonic() - delivery.due)
        request = hook.request(event, number, fault)
        cut: Cut = None
        if fault in FIRST_ANSWER_LOST and number == 1:  # half of these answers are read, to know their receipts
            cut = "read" if zlib.crc32(event.id.encode()) % 2 else "unread"
        at = datetime.now(UTC)
        answer = await transmit(self._client, hook, request, fault == "slow-client", cut)
        ended = time.monotonic()  # the next wait starts here, however long the log takes
        if self._on_attempt is not None:
            self._on_attempt(
                DeliveryAttempt(
                    at=at,
                    provider=hook.provider,
                    topic=hook.topic,
                    event_type=event.event_type,
                    entity_id=event.entity_id,
                    event=event.id,
                    attempt=number,
                    status=answer.status,
                    receipt=answer.receipt,
                    seconds=round(answer.seconds, 6),
                    becomes=request.becomes,
                    fault=fault,
                )
            )
        is_lost = cut is not None and answer.status == 200
        return None if is_lost else hook.final_status(answer.status), answer, ended

    def _abandon(self, hook: Hook) -> None:
        for delivery in self._running.values():
            if delivery.hook == hook:
                delivery.abandon("dropped")

    async def _lose_timers(self) -> int:
        waiting = [delivery for delivery in self._running.values() if delivery.due > time.monotonic()]
        for delivery in waiting:
            delivery.abandon("lost")
        return len(waiting)

    async def _stop(self) -> None:
        # Until none is left: a delivery whose answer has just arrived may end normally, and send its corrected event.
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=_CANCEL_SECONDS)
        await self._client.aclose()
        await self._loop.shutdown_asyncgens()


def _next_step_text(final_status: FinalStatus | None, wait_seconds: float) -> str:
    """Return what comes next: the delivery's final status, or, without one, another attempt."""
    if final_status is not None:
        return _FINAL_STATUS_TEXTS.get(final_status, final_status)
    return f"next try in {wait_seconds:.{1 if wait_seconds < 10 else 0}f} s"
