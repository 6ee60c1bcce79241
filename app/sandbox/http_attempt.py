"""One delivery attempt over HTTP: fast or slow, with its answer read or cut off."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import httpx

from app.sandbox.failures import CUT_ON_PURPOSE, cause_text
from app.sandbox.faults import SLOW_SECONDS
from app.sandbox.hooks import OutgoingRequest

# What ends an attempt without an answer; impossible host names raise UnicodeError, TLS alerts OSError.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)
_PIECES = 20
# Where the connection is cut: nowhere, after the answer was read, or before.
Cut = Literal["no", "read", "unread"]


@dataclass(frozen=True, slots=True)
class TransportFaults:
    """What goes wrong on the wire during one attempt."""

    slow: bool = False
    cut: Cut = "no"


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended; status 0 means no answer, for the reason in `cause`."""

    status: int
    receipt: str | None
    seconds: float
    cause: str = ""


async def transmit(
    client: httpx.AsyncClient, url: str, request: OutgoingRequest, timeout_seconds: float, faults: TransportFaults
) -> Answer:
    """Make one attempt; the time-out covers all of it, from its start until the answer is read."""
    started = time.monotonic()
    headers = {**request.headers, "Content-Length": str(len(request.content))}
    if faults.cut != "no":
        headers["Connection"] = "close"
    content = _in_pieces(request.content) if faults.slow else request.content
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            client.stream("POST", url, content=content, headers=headers) as response,
        ):
            if faults.cut == "unread" and response.status_code == 200:  # leaving the block cuts the connection
                return Answer(0, None, time.monotonic() - started, CUT_ON_PURPOSE)
            await response.aread()
    except NO_ANSWER as error:
        return Answer(0, None, time.monotonic() - started, cause_text(error))
    receipt = _receipt(response.content) if response.status_code == 200 else None
    return Answer(response.status_code, receipt, time.monotonic() - started)


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
