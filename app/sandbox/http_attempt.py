"""One try over the wire, at full speed or not, its answer read or not."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import httpx

from app.sandbox.failures import CUT, why
from app.sandbox.faults import SLOW_SECONDS
from app.sandbox.hooks import Request
from app.sandbox.responses import NO_ANSWER, Answer

_PIECES = 20
# Where the connection is cut: not at all, when the answer has been read, before.
Cut = Literal["no", "read", "unread"]


@dataclass(frozen=True, slots=True)
class TransportFaults:
    """How a try is made."""

    slow: bool = False
    cut: Cut = "no"


async def transmit(
    client: httpx.AsyncClient, url: str, request: Request, timeout_seconds: float, manner: TransportFaults
) -> Answer:
    """Make a try; the time-out is for all of it, from its begin until its answer is read."""
    started = time.monotonic()
    headers = {**request.headers, "Content-Length": str(len(request.content))}
    if manner.cut != "no":
        headers["Connection"] = "close"
    content = _in_pieces(request.content) if manner.slow else request.content
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            client.stream("POST", url, content=content, headers=headers) as answer,
        ):
            if manner.cut == "unread" and answer.status_code == 200:  # leaving the block cuts the connection
                return Answer(0, None, time.monotonic() - started, CUT)
            await answer.aread()
    except NO_ANSWER as error:
        return Answer(0, None, time.monotonic() - started, why(error))
    return Answer.of(answer, time.monotonic() - started)


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    size = -(-len(content) // _PIECES) or 1
    for begin in range(0, len(content), size):
        await asyncio.sleep(SLOW_SECONDS / _PIECES)
        yield content[begin : begin + size]
