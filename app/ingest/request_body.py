"""Reads the bodies of requests within limits: a slow sender holds a coroutine, never a thread."""

import asyncio
from contextlib import ExitStack
from typing import Protocol, Self

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # missing in its types
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import NotReceivedError

# How long a body may take: some seconds, and what it needs at the slowest rate that a sender may have.
GRACE_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 64 * 1024
# Bodies on their way at once, by whether the headers authenticate the request. Anyone can send the others.
_MAX_INCOMING = {True: 1024, False: 256}
# Larger bodies are limited in number. The memory of the others is bounded by the number of bodies on their way.
_LARGE_BYTES = 1024 * 1024
_MAX_LARGE_BODIES = 2
_WAIT_SECONDS = 1.0
# How often deadlines are looked at.
_WATCH_SECONDS = 0.5
# Reason of a body whose sender hung up.
SENDER_GONE = "sender-gone"
# A declared body up to this size is received in one step.
_SMALL_BYTES = 64 * 1024


class Incoming(Protocol):
    """What Granian offers of a request whose body is on its way."""

    def __call__(self) -> "asyncio.Future[bytes]":
        """Return the whole body; raises ProtocolClosed if the sender hung up."""

    def __aiter__(self) -> "Parts":
        """Return the parts of the body."""


class Parts(Protocol):
    """The parts of a body."""

    def __anext__(self) -> "asyncio.Future[bytes]":
        """Return the next part, empty at the end."""


class BodyReader:
    """Reads bodies within limits of size, time and number; each limit is kept apart for authenticated requests."""

    def __init__(self, limit_bytes: int, grace_seconds: float = GRACE_SECONDS) -> None:
        """Accept bodies up to `limit_bytes`; give each `grace_seconds` and what its size needs."""
        self._limit_bytes = limit_bytes
        self._grace_seconds = grace_seconds
        self._queues = {authentic: _Queue(limit) for authentic, limit in _MAX_INCOMING.items()}

    async def read(self, incoming: Incoming, declared: int | None, authentic: bool, answered: ExitStack) -> bytes:
        """Return the raw body, declared or chunked, still content-encoded.

        A body takes one of the slots for large bodies at its 1 MiB mark, and frees it when `answered` closes. One
        beyond the limit is received and dropped, up to twice the limit: a balancer that still sends when the answer
        and the end of the connection come would take that for a failure of this server.

        Raises:
            RequestEntityTooLarge: More than the limit was declared or sent.
            NotReceivedError: The sender hung up or was too slow, the body gave way to others, or no slot was free for a
                large body.
        """
        if declared is not None and declared > 2 * self._limit_bytes:
            raise RequestEntityTooLarge
        with self._queues[authentic].join(self._grace_seconds) as place:
            if declared is not None and declared <= _SMALL_BYTES:
                return await place.receive(incoming())
            return await self._read_parts(incoming, declared, place, answered)

    async def _read_parts(
        self, incoming: Incoming, declared: int | None, place: "_Place", answered: ExitStack
    ) -> bytes:
        parts: list[bytes] = []
        size, fits = 0, declared is None or declared <= self._limit_bytes
        stream = incoming.__aiter__()
        while size != declared and (part := await place.receive(stream.__anext__())):
            size += len(part)
            if size > 2 * self._limit_bytes:
                break
            if size > _LARGE_BYTES >= size - len(part):
                await place.take_large_slot(answered)
            fits = fits and size <= self._limit_bytes
            if fits:
                parts.append(part)
            else:
                parts.clear()
        if not fits:
            raise RequestEntityTooLarge
        if declared is not None and size != declared:
            raise NotReceivedError(SENDER_GONE)
        return b"".join(parts)


class _Queue:
    """The bodies on their way, oldest first. The oldest gives way when there are too many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: dict[_Place, None] = {}
        self._large_slots = asyncio.Semaphore(_MAX_LARGE_BODIES)
        self._is_watched = False

    def join(self, grace_seconds: float) -> "_Place":
        """Return a place for a body, to be kept while it is read."""
        loop = asyncio.get_running_loop()
        if not self._is_watched:  # one timer for all: one for each body would cost more than reading it
            self._is_watched = True
            loop.call_later(_WATCH_SECONDS, self._end_late_bodies, loop)
        if len(self._places) >= self._limit:
            next(iter(self._places)).end("too-many-bodies")
        place = _Place(self._places, self._large_slots, loop.time() + grace_seconds)
        self._places[place] = None
        return place

    def _end_late_bodies(self, loop: asyncio.AbstractEventLoop) -> None:
        for place in list(self._places):
            if loop.time() >= place.deadline:
                place.end("body-too-slow")
        self._is_watched = bool(self._places)
        if self._is_watched:
            loop.call_later(_WATCH_SECONDS, self._end_late_bodies, loop)


class _Place:
    """One body on its way. It is ended when it comes too slowly or must give way."""

    __slots__ = ("_ended", "_large_slots", "_pending", "_places", "deadline")

    def __init__(self, places: "dict[_Place, None]", large_slots: asyncio.Semaphore, deadline: float) -> None:
        self.deadline = deadline
        self._places = places
        self._large_slots = large_slots
        self._pending: asyncio.Future[bytes] | None = None
        self._ended = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        del self._places[self]

    async def receive(self, pending: "asyncio.Future[bytes]") -> bytes:
        """Await a part of the body, which prolongs its time."""
        self._pending = pending
        try:
            part = await pending
        except asyncio.CancelledError:
            if not self._ended:
                raise
            raise NotReceivedError(self._ended) from None
        except ProtocolClosed:
            raise NotReceivedError(SENDER_GONE) from None
        self.deadline += len(part) / SLOWEST_BYTES_PER_SECOND
        return part

    async def take_large_slot(self, answered: ExitStack) -> None:
        """Take a slot for a large body until `answered` closes."""
        try:
            await asyncio.wait_for(self._large_slots.acquire(), _WAIT_SECONDS)
        except TimeoutError:
            raise NotReceivedError("busy", "too many large bodies at once") from None
        answered.callback(self._large_slots.release)

    def end(self, reason: str) -> None:
        """End the reading: the sender is answered 503 with this reason."""
        self._ended = reason
        if self._pending is not None:
            self._pending.cancel()
