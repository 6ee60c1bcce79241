"""Delivers events in the background: attempts, waits and retries, with all timers in memory."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from threading import Condition, Thread
from typing import Self

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.delivery import Delivery, FinalStatus, SharedResources
from app.sandbox.faults import FAULTS, NO_FAULT
from app.sandbox.hooks import Event, Hook
from app.tls import LOOPBACK_DIRECT


class Dispatcher:
    """Delivers by the rules of the hooks' providers; `speed` divides their waits, never their time-outs.

    concurrency: how many attempts run at once, at most. trust: accepted certificates; default: the system's.
    on_attempt: receives attempts as they end. on_failure: receives one line for each failed attempt.
    on_cancelled: receives a hook that its receiver cancelled, once nothing more is sent to it.
    All three run in the dispatcher's thread.
    final_statuses: how many deliveries ended with each status.
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
        self._on_cancelled = on_cancelled
        # The time-out of an attempt covers all of it; connections are limited by the number of slots.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
        verify = True if trust is None else trust
        client = httpx.AsyncClient(verify=verify, timeout=None, limits=limits, mounts=LOOPBACK_DIRECT)  # noqa: S113
        self._shared = SharedResources(client, asyncio.Semaphore(concurrency), speed, on_attempt, on_failure)
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._pending = 0
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

    @property
    def pending(self) -> int:
        """How many deliveries have not ended."""
        return self._pending

    @property
    def max_delay_seconds(self) -> float:
        """The longest time by which an attempt started late, because slots or processor time were short."""
        return self._shared.max_delay_seconds

    def send(self, hook: Hook, event: Event, fault: str | None = None) -> None:
        """Start delivering an event; raises KeyError for an unknown fault, and what `wait` raises."""
        self._raise_failure()
        delivery_fault, requested_at = FAULTS[fault] if fault is not None else NO_FAULT, time.monotonic()
        for _ in range(delivery_fault.copies):
            self._change_pending(1)
            delivery = Delivery(self._shared, hook, event, delivery_fault, requested_at)
            self._loop.call_soon_threadsafe(self._start, delivery)

    def lose_timers(self) -> int:
        """Forget every retry that waits for its time, as a restart of the provider does; return how many."""
        return asyncio.run_coroutine_threadsafe(self._lose_timers(), self._loop).result()

    def drop(self, hook: Hook) -> None:
        """Send nothing more to a hook; an attempt that is under way ends normally."""
        self._loop.call_soon_threadsafe(self._abandon, hook)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is pending; return whether that is so. Raises what a hook or `on_attempt` raised."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or self._failure is not None, seconds)
            self._raise_failure()
            return not self._pending

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
            self._pending += difference
            self._changed.notify_all()

    # What follows runs in the dispatcher's thread, to which all deliveries belong.

    def _start(self, delivery: Delivery) -> None:
        task = self._loop.create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._change_pending(-1)

    async def _run(self, delivery: Delivery) -> None:
        try:
            status = await delivery.run()
            self.final_statuses[status] += 1
            if status == "delivered" and delivery.fault.corrected and not delivery.is_abandoned:
                self.send(delivery.hook, delivery.hook.corrected(delivery.event))
            if status == "cancelled":
                self._abandon(delivery.hook)
                if self._on_cancelled is not None:
                    self._on_cancelled(delivery.hook)
        except Exception as error:
            self._failure = error  # raised by the next call of send, wait or watch

    def _abandon(self, hook: Hook) -> None:
        for delivery in self._running.values():
            if delivery.hook == hook:
                delivery.abandon("dropped")

    async def _lose_timers(self) -> int:
        waiting = [delivery for delivery in self._running.values() if delivery.is_waiting]
        for delivery in waiting:
            delivery.abandon("lost")
        return len(waiting)

    async def _stop(self) -> None:
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._shared.client.aclose()
