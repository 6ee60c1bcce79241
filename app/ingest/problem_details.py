"""Answers to what goes wrong: problem documents (RFC 9457), in no other status than the contract's.

A fault of ours is never answered with a 4xx, and never with 410 or 422: those make Solaris cancel
the subscription or drop the notification for good.
"""

import json
import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app import metrics
from app.errors import AuthenticationError, StoreUnavailableError

_TITLES = {
    401: "The request is not authentic.",
    404: "No provider or topic of this name.",
    405: "Only POST is answered here.",
    413: "The body is too large.",
    503: "Nothing was kept; send the delivery again.",
}
_RETRY_AFTER_SECONDS = 5
# Of what is logged; anybody may ask for any path.
_PATH_LENGTH = 100
_SEGMENT_LENGTH = 40
logger = logging.getLogger(__name__)


def problem(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """Return a problem document; `reason` is a slug that says nothing of secrets or values."""
    document = {"type": "about:blank", "status": status, "title": _TITLES[status], "reason": reason}
    answer = Response(json.dumps(document) + "\n", status, headers, content_type="application/problem+json")
    if status == 503:
        metrics.UNAVAILABLE.labels(reason).inc()
        answer.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return answer


def answer_with_problems(app: Flask) -> None:
    """Have every error answered with a problem document."""
    app.register_error_handler(Exception, lambda error: to_problem(error, request.path))


def to_problem(error: Exception, path: str) -> Response:
    """Return the problem document for what went wrong with a request for `path`, and log it."""
    match error:
        case AuthenticationError():
            logger.warning(
                "request_rejected", extra={"path": _shown(path), "reason": error.reason, "detail": error.detail}
            )
            return problem(401, error.reason)
        case StoreUnavailableError():
            logger.error("delivery_not_durable", extra={"reason": error.reason, "detail": error.detail})
            return problem(503, error.reason)
        case HTTPException():
            return _http(error, path)
        case _:
            logger.error("unhandled_exception", exc_info=error)
            return problem(503, "internal")


def _http(error: HTTPException, path: str) -> Response:
    if error.code == 404 and path.startswith("/webhooks/"):  # a provider may have been told a wrong address
        logger.warning("request_rejected", extra={"path": _shown(path), "reason": "not-found", "detail": ""})
    if error.code in (301, 307, 308):
        return problem(404, "not-found")
    if error.code not in _TITLES:
        return problem(503, "not-received")  # e.g. the client went away in mid-body
    allow = {name: value for name, value in error.get_headers() if name == "Allow"}
    return problem(error.code, error.name.lower().replace(" ", "-"), allow)


def _shown(path: str) -> str:
    """Return a request's path for the log: its segments shortened, nothing in it steers a terminal."""
    short = "/".join(segment[:_SEGMENT_LENGTH] for segment in path[:_PATH_LENGTH].split("/"))
    return "".join(character if character.isprintable() else "?" for character in short)
