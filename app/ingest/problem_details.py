"""Error answers of the edge: problem documents (RFC 9457), with the statuses of the contract only.

Our own errors are answered 503, never 4xx. 410 and 422 are never sent: they make Solaris cancel the subscription or
drop the notification for good.
"""

import json
import logging
import re
from dataclasses import dataclass, field

from flask import Response
from werkzeug.exceptions import HTTPException

from app.errors import AuthenticationError, KvittoError, NotReceivedError, StoreUnavailableError

_TITLES = {
    401: "The request is not authentic.",
    404: "No provider or topic of this name.",
    405: "Another method is answered here; see the header Allow.",
    413: "The body is too large.",
    503: "The delivery was not stored; send it again.",
}
_RETRY_AFTER_SECONDS = 5
# Limits for logged paths: anybody may request any path.
_PATH_LENGTH = 100
_DIGIT = re.compile(r"\d")
_SEGMENT_LENGTH = 40
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error answer; `reason` is a slug that holds no secret and no value."""

    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)

    def to_response(self) -> Response:
        """Return the answer; a 503 asks for a retry."""
        document = {"type": "about:blank", "status": self.status, "title": _TITLES[self.status], "reason": self.reason}
        headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if self.status == 503 else self.headers
        return Response(json.dumps(document) + "\n", self.status, headers, content_type="application/problem+json")


def to_problem(error: Exception, path: str, client: str) -> Problem:
    """Return the answer to an error of a request for `path` by the address `client`, and log it."""
    context: dict[str, object] = {"path": _printable(path), "client": client}
    if isinstance(error, KvittoError):
        context |= {"reason": error.reason, "detail": error.detail}
    match error:
        case AuthenticationError():
            logger.warning("request_rejected", extra=context)
            return Problem(401, error.reason)
        case NotReceivedError():
            logger.warning("delivery_not_received", extra=context)
            return Problem(503, error.reason)
        case StoreUnavailableError():
            logger.error("delivery_not_durable", extra=context | {"receipt": error.receipt})
            return Problem(503, error.reason)
        case HTTPException():
            if error.code == 404 and path.startswith("/webhooks/"):  # a provider may have a wrong address of ours
                logger.warning("request_rejected", extra=context | {"reason": "not-found", "detail": ""})
            return _http_problem(error)
        case _:
            logger.error("unhandled_exception", extra=context, exc_info=error)
            return Problem(503, "internal")


def _http_problem(error: HTTPException) -> Problem:
    if error.code in (301, 307, 308):
        return Problem(404, "not-found")
    if error.code not in _TITLES:
        return Problem(503, "internal")  # nothing of ours raises another
    allow = {name: value for name, value in error.get_headers() if name == "Allow"}
    return Problem(error.code, error.name.lower().replace(" ", "-"), allow)


def _printable(path: str) -> str:
    """Return a path for the log: short, and without digits, which could be somebody's national id.

    It is also stripped of what could control a terminal.
    """
    short = "/".join(segment[:_SEGMENT_LENGTH] for segment in path[:_PATH_LENGTH].split("/"))
    return "".join(character if character.isprintable() else "?" for character in _DIGIT.sub("#", short))
