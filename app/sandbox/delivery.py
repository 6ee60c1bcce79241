"""One event on its way to one hook, attempt by attempt."""

import asyncio
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.failures import CUT_ON_PURPOSE, next_step_text
from app.sandbox.faults import HELD_SECONDS, DeliveryFault
from app.sandbox.hooks import Event, Hook, NextStep
from app.sandbox.http_attempt import Answer, Cut, TransportFaults, transmit

FinalStatus = Literal["delivered", "given up", "cancelled", "lost", "dropped"]
_FINAL: dict[NextStep, FinalStatus] = {"delivered": "delivered", "give up": "given up", "cancelled": "cancelled"}
# A selector wakes up to a millisecond late, so the last stretch of a wait is polled.
_POLLED_SECONDS = 0.002


@dataclass(slots=True)
class SharedResources:
    """What all deliveries share; an attempt holds one of the `slots` while it runs.

    on_attempt: receives attempts as they end. on_failure: receives one line for each failed attempt.
    max_delay_seconds: the longest time by which an attempt started after it was due.
    """

    client: httpx.AsyncClient
    slots: asyncio.Semaphore
    speed: float
    on_attempt: Callable[[DeliveryAttempt], None] | None
    on_failure: Callable[[str], None] | None = None
    max_delay_seconds: float = 0.0


class Delivery:
    """Sends by the rules of the hook's provider. `requested_at` is in monotonic seconds. Lives in one event loop."""

    def __init__(
        self, shared: SharedResources, hook: Hook, event: Event, fault: DeliveryFault, requested_at: float
    ) -> None:
        self.hook = hook
        self.event = event
        self.fault = fault
        self.is_waiting = False
        self._shared = shared
        self._due = requested_at + (HELD_SECONDS if fault.held else 0)
        self._abandoned_as: FinalStatus | None = None
        self._abandoned = asyncio.Event()

    @property
    def is_abandoned(self) -> bool:
        """Whether no further attempt follows."""
        return self._abandoned_as is not None

    def abandon(self, status: FinalStatus) -> None:
        """Make no further attempt; one that is under way ends normally."""
        self._abandoned_as = status
        self._abandoned.set()

    async def run(self) -> FinalStatus:
        """Make attempts until there is none left to make; return the final status."""
        waits, attempt = iter(self.hook.waits), 0
        while True:
            attempt += 1
            await self._wait_until_due()
            async with self._shared.slots:
                if self._abandoned_as is not None:
                    return self._abandoned_as
                step, answer, ended = await self._attempt(attempt)
            wait = next(waits, None)
            status = self._final_status(step, wait)
            wait_seconds = (wait or 0) / self._shared.speed
            if status != "delivered" and self._shared.on_failure is not None:
                cause = answer.cause or (CUT_ON_PURPOSE if answer.status == 200 else f"answered {answer.status}")
                hook = f"{self.hook.provider} {self.hook.topic}"
                self._shared.on_failure(f"{hook}, attempt {attempt}: {cause}; {next_step_text(status, wait_seconds)}")
            if status is not None:
                return status
            self._due = ended + wait_seconds

    def _final_status(self, step: NextStep, wait: float | None) -> FinalStatus | None:
        """Return the final status after an attempt; None if another follows."""
        if step != "try again":
            return _FINAL[step]
        if wait is None:
            return "given up"
        return "lost" if self.fault.forgetful else self._abandoned_as

    async def _wait_until_due(self) -> None:
        left = self._due - time.monotonic()
        self.is_waiting = left > 0
        if left > _POLLED_SECONDS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._abandoned.wait(), left - _POLLED_SECONDS)
        while self._abandoned_as is None and time.monotonic() < self._due:
            await asyncio.sleep(0)
        self.is_waiting = False

    async def _attempt(self, number: int) -> tuple[NextStep, Answer, float]:
        """Make one attempt; return what comes next, the answer, and when the attempt ended."""
        shared = self._shared
        shared.max_delay_seconds = max(shared.max_delay_seconds, time.monotonic() - self._due)
        fault = self.fault.name or None
        request = self.hook.request(self.event, number, fault)
        cut: Cut = self._cut() if number == 1 else "no"
        transport = TransportFaults(self.fault.slow, cut)
        at = datetime.now(UTC)
        answer = await transmit(shared.client, self.hook.url, request, self.hook.timeout_seconds, transport)
        ended = time.monotonic()  # the next wait starts here, however long the log takes
        if shared.on_attempt is not None:
            shared.on_attempt(
                DeliveryAttempt(
                    at=at,
                    provider=self.hook.provider,
                    topic=self.hook.topic,
                    event_type=self.event.event_type,
                    entity_id=self.event.entity_id,
                    event=self.event.id,
                    attempt=number,
                    status=answer.status,
                    receipt=answer.receipt,
                    seconds=round(answer.seconds, 6),
                    becomes=request.becomes,
                    fault=fault,
                )
            )
        is_lost = cut != "no" and answer.status == 200
        return "try again" if is_lost else self.hook.next_step(answer.status), answer, ended

    def _cut(self) -> Cut:
        """Return where to cut. Half of the lost answers are read, to know their receipts; the event's id decides."""
        if not self.fault.cut:
            return "no"
        return "read" if zlib.crc32(self.event.id.encode()) % 2 else "unread"
