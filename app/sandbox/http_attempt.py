"""One delivery attempt over HTTP, and why it failed, in words: no secret and nothing of a body."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

import httpx

from app.sandbox.faults import SLOW_SECONDS
from app.sandbox.hooks import Hook, OutgoingRequest

# What ends an attempt without an answer; impossible host names raise UnicodeError, TLS alerts OSError.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)
# The first kind that occurs in the chain of an error gives the cause.
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "certificate not trusted by the system nor by the sandbox's authority ({0.verify_message})",
    ),
    (ssl.SSLError, "TLS failed: is HTTPS served there?"),
    (TimeoutError, "no answer in time"),
    (socket.gaierror, "unknown host name"),
    (UnicodeError, "unknown host name"),
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    (ConnectionError, "the connection was cut off"),
    (httpx.RemoteProtocolError, "the connection ended without an HTTP answer"),
    (httpx.InvalidURL, "invalid URL"),
)
_PIECES = 20
# When the connection is cut on purpose: after the answer was read, or before; None: it is not.
Cut = Literal["read", "unread"] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended: its status, 0 for no answer, and the cause if it counts as failed."""

    status: int
    receipt: str | None
    seconds: float
    cause: str


async def transmit(client: httpx.AsyncClient, hook: Hook, request: OutgoingRequest, slow: bool, cut: Cut) -> Answer:
    """Make one attempt; the time-out covers all of it, from its start until the answer is read."""
    started = time.monotonic()
    headers = {**request.headers, "Content-Length": str(len(request.content))}
    if cut:
        headers["Connection"] = "close"
    content = _in_pieces(request.content) if slow else request.content
    try:
        async with (
            asyncio.timeout(hook.timeout_seconds),
            client.stream("POST", hook.url, content=content, headers=headers) as response,
        ):
            is_cut = cut is not None and response.status_code == 200
            cause = "answered 200, and cut off on purpose" if is_cut else f"answered {response.status_code}"
            if is_cut and cut == "unread":  # leaving the block cuts the connection
                return Answer(0, None, time.monotonic() - started, cause)
            await response.aread()
    except NO_ANSWER as error:
        return Answer(0, None, time.monotonic() - started, cause_text(error))
    receipt = _receipt(response.content) if response.status_code == 200 else None
    return Answer(response.status_code, receipt, time.monotonic() - started, cause)


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    size = -(-len(content) // _PIECES) or 1
    for start in range(0, len(content), size):
        await asyncio.sleep(SLOW_SECONDS / _PIECES)
        yield content[start : start + size]


def _receipt(content: bytes) -> str | None:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    receipt = fields.get("receipt") if isinstance(fields, dict) else None
    return receipt if isinstance(receipt, str) else None


def cause_text(error: BaseException) -> str:
    """Return why no answer arrived."""
    for kind, text in _CAUSES:
        if cause := find_cause(error, kind):
            return text.format(cause)
    return f"the connection failed ({type(error).__name__})"


def find_cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return the first error of this kind in the chain of an error."""
    return next((cause for cause in _chain(error) if isinstance(cause, kind)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its causes, and the members of groups among them."""
    if error is not None:
        yield error
        yield from _chain(error.__cause__ or error.__context__)
        for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _chain(member)
