"""A delivery: one event on its way to one hook, try by try."""

import asyncio
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import httpx

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox import failures
from app.sandbox.faults import HELD_SECONDS, Fault
from app.sandbox.hooks import Event, Hook, Request, Verdict
from app.sandbox.http_attempt import Cut, TransportFaults, transmit
from app.sandbox.responses import Answer

# What becomes of a delivery in the end.
FinalStatus = Literal["delivered", "given up", "cancelled", "lost", "dropped"]
_ENDINGS: dict[Verdict, FinalStatus] = {"delivered": "delivered", "give up": "given up", "cancelled": "cancelled"}
# A selector wakes up to a millisecond late: the last stretch of a wait is watched.
_WATCHED_SECONDS = 0.002


class Record(Protocol):
    """What notes tries as they end: app.audit.attempt_log.Recording is one."""

    def add(self, each: DeliveryAttempt) -> None:
        """Note a try."""


@dataclass(slots=True)
class SharedResources:
    """What deliveries share; a lane is held for as long as a try takes.

    tell: is told of every try that failed, in a line. latest_seconds: by how much the latest try began after it was
    due.
    """

    client: httpx.AsyncClient
    lanes: asyncio.Semaphore
    speed: float
    record: Record | None
    tell: Callable[[str], None] | None = None
    latest_seconds: float = 0.0


class Delivery:
    """Tries as the hook's provider does; `asked` is when it was asked for, by the monotonic clock.

    Lives in one event loop.
    """

    def __init__(self, means: SharedResources, hook: Hook, event: Event, fault: Fault, asked: float) -> None:
        self._asked = self._ended = asked
        self.hook = hook
        self.event = event
        self.fault = fault
        self.waiting = False
        self._means = means
        self._fate: FinalStatus | None = None
        self._abandoned = asyncio.Event()

    @property
    def abandoned(self) -> bool:
        """Whether no other try is to be made."""
        return self._fate is not None

    def abandon(self, fate: FinalStatus) -> None:
        """Have no other try made; one that is under way ends."""
        self._fate = fate
        self._abandoned.set()

    async def run(self) -> FinalStatus:
        """Try until there is no other try to make; return what became of it."""
        due = self._asked + (HELD_SECONDS if self.fault.held else 0)
        for attempt, wait in enumerate((*self.hook.waits, None), 1):
            await self._wait_until(due)
            async with self._means.lanes:
                if self._fate is not None:
                    return self._fate
                verdict, answer = await self._try(attempt, due)
            ending = self._ending(verdict, wait)
            wait_seconds = (wait or 0) / self._means.speed
            if ending != "delivered" and self._means.tell is not None:
                self._means.tell(self._failed(attempt, answer, failures.then(ending, wait_seconds)))
            if ending is not None:
                return ending
            due = self._ended + wait_seconds
        raise AssertionError("the last try has an ending")

    def _ending(self, verdict: Verdict, wait: float | None) -> FinalStatus | None:
        """Return what became of the delivery by a try; None if another is to be made, after `wait`."""
        if verdict != "try again":
            return _ENDINGS[verdict]
        if wait is None:
            return "given up"
        return "lost" if self.fault.forgetful else self._fate

    def _failed(self, attempt: int, answer: Answer, then: str) -> str:
        why = answer.why or (failures.CUT if answer.status == 200 else f"answered {answer.status}")
        return f"{self.hook.provider} {self.hook.topic}, attempt {attempt}: {why}; {then}"

    async def _wait_until(self, due: float) -> None:
        left = due - time.monotonic()
        self.waiting = left > 0
        if left > _WATCHED_SECONDS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._abandoned.wait(), left - _WATCHED_SECONDS)
        while self._fate is None and time.monotonic() < due:
            await asyncio.sleep(0)
        self.waiting = False

    async def _try(self, attempt: int, due: float) -> tuple[Verdict, Answer]:
        self._means.latest_seconds = max(self._means.latest_seconds, time.monotonic() - due)
        request = self.hook.request(self.event, attempt, self.fault.name or None)
        cut = self._cut() if attempt == 1 else "no"
        manner = TransportFaults(self.fault.slow, cut)
        at = datetime.now(UTC)
        answer = await transmit(self._means.client, self.hook.url, request, self.hook.timeout_seconds, manner)
        self._ended = time.monotonic()  # from here the next wait counts, however long the record takes
        if self._means.record is not None:
            self._means.record.add(self._told(at, attempt, request, answer))
        lost = cut != "no" and answer.status == 200
        return "try again" if lost else self.hook.verdict(answer.status), answer

    def _cut(self) -> Cut:
        """Of the answers that are lost half are read, so that their receipts can be looked up; the id decides."""
        if not self.fault.cut:
            return "no"
        return "read" if zlib.crc32(self.event.id.encode()) % 2 else "unread"

    def _told(self, at: datetime, attempt: int, request: Request, answer: Answer) -> DeliveryAttempt:
        return DeliveryAttempt(
            at=at,
            provider=self.hook.provider,
            topic=self.hook.topic,
            event_type=self.event.event_type,
            entity_id=self.event.entity_id,
            event=self.event.id,
            attempt=attempt,
            status=answer.status,
            receipt=answer.receipt,
            seconds=round(answer.seconds, 6),
            becomes=request.becomes,
            fault=self.fault.name or None,
        )
