"""Delivers events in the background: tries, waits, tries again, with all timers in memory."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from threading import Condition, Thread
from types import TracebackType
from typing import Self

import httpx

from app.sandbox import faults
from app.sandbox.delivery import Delivery, FinalStatus, Record, SharedResources
from app.sandbox.hooks import Event, Hook
from app.tls import LOOPBACK_DIRECT


class Dispatcher:
    """Delivers as the hooks' providers do; `speed` divides their waits, never their time-outs.

    At most `lanes` tries are under way at once. `trust` says whose certificates count, default: the system's.
    `on_cancelled` is told of a hook that its receiver cancelled, in the dispatcher's thread, when nothing more is sent
    to it; `tell`, there too, of each try that failed, in a line. `endings` counts what became of deliveries.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all but the first few are named
        self,
        recording: Record | None = None,
        speed: float = 1.0,
        trust: ssl.SSLContext | None = None,
        lanes: int = 64,
        on_cancelled: Callable[[Hook], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.endings: Counter[FinalStatus] = Counter()
        self._on_cancelled = on_cancelled
        # A try has one time-out for all of it; connections are as many as lanes.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=lanes)
        verify = True if trust is None else trust
        client = httpx.AsyncClient(verify=verify, timeout=None, limits=limits, mounts=LOOPBACK_DIRECT)  # noqa: S113
        self._means = SharedResources(client, asyncio.Semaphore(lanes), speed, recording, tell)
        self._under_way: dict[asyncio.Task[None], Delivery] = {}
        self._pending = 0
        self._failure: Exception | None = None
        self._changed = Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="dispatcher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """How many deliveries have not ended."""
        return self._pending

    @property
    def latest_seconds(self) -> float:
        """By how much the latest try began after it was due: the sender's own fault, too few lanes or no time."""
        return self._means.latest_seconds

    def send(self, hook: Hook, event: Event, fault: str | None = None) -> None:
        """Have an event delivered, beginning now; raises KeyError for what is no fault, and what `wait` raises."""
        self._raise_failure()
        found, asked = faults.named(fault), time.monotonic()
        for _ in range(found.copies):
            self._add(1)
            self._loop.call_soon_threadsafe(self._start, Delivery(self._means, hook, event, found, asked))

    def lose_timers(self) -> int:
        """Forget every try that waits for its time, as a restart of the provider does; return how many."""
        return asyncio.run_coroutine_threadsafe(self._lose_timers(), self._loop).result()

    def drop(self, hook: Hook) -> None:
        """Send nothing more to a hook; what is under way to it ends."""
        self._loop.call_soon_threadsafe(self._abandon, hook)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is pending; tell whether that is so. Raises what a hook or the record raised."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending or self._failure is not None, seconds)
            self._raise_failure()
            return not self._pending

    def watch(self, seconds: float | None = None) -> None:
        """Wait for so long, by default for ever, unless a hook or the record raises: then raise that."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None, seconds)
            self._raise_failure()

    def close(self) -> None:
        """Abandon what is pending, and close the connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # What follows runs in the dispatcher's thread, to which all deliveries belong.

    def _start(self, delivery: Delivery) -> None:
        self._under_way[self._loop.create_task(self._run(delivery))] = delivery

    async def _run(self, delivery: Delivery) -> None:
        try:
            ending = await delivery.run()
            self.endings[ending] += 1
            if ending == "delivered" and delivery.fault.corrected and not delivery.abandoned:
                self.send(delivery.hook, delivery.hook.corrected(delivery.event))
            if ending == "cancelled":
                self._cancel(delivery.hook)
        except Exception as error:
            self._failure = error  # whoever sends, waits or watches is told
        finally:
            del self._under_way[_current()]
            self._add(-1)

    def _cancel(self, hook: Hook) -> None:
        self._abandon(hook)
        if self._on_cancelled is not None:
            self._on_cancelled(hook)

    def _abandon(self, hook: Hook) -> None:
        for delivery in self._under_way.values():
            if delivery.hook == hook:
                delivery.abandon("dropped")

    async def _lose_timers(self) -> int:
        lost = [delivery for delivery in self._under_way.values() if delivery.waiting]
        for delivery in lost:
            delivery.abandon("lost")
        return len(lost)

    async def _stop(self) -> None:
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._means.client.aclose()

    def _add(self, count: int) -> None:
        with self._changed:
            self._pending += count
            self._changed.notify_all()


def _current() -> "asyncio.Task[None]":
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    return task
