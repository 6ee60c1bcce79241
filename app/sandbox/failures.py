"""Failed attempts in words: the cause, and what comes next. No secret and nothing of a body."""

import socket
import ssl
from collections.abc import Iterator

import httpx

CUT_ON_PURPOSE = "answered 200, and cut off on purpose"
# The first kind that occurs in the chain of an error gives the cause.
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS failed: is HTTPS served there?"),
    (TimeoutError, "no answer in time"),
    (socket.gaierror, "unknown host name"),
    (UnicodeError, "unknown host name"),
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    (ConnectionError, "the connection was cut off"),
    (httpx.RemoteProtocolError, "the connection ended without an HTTP answer"),
    (httpx.InvalidURL, "invalid URL"),
)
_FINAL = {
    "lost": "the timer of the next attempt is lost",
    "cancelled": "the subscription is cancelled",
    "dropped": "no further attempt: the subscription was removed",
}
_SHORT_SECONDS = 10


def cause_text(error: BaseException) -> str:
    """Return why no answer arrived."""
    chain = list(error_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not trusted by the system nor by the sandbox's authority ({cause.verify_message})"
    for kind, text in _CAUSES:
        if any(isinstance(cause, kind) for cause in chain):
            return text
    return f"the connection failed ({type(error).__name__})"


def next_step_text(final_status: str | None, wait_seconds: float) -> str:
    """Return what comes next: the delivery's final status, or, without one, another attempt."""
    if final_status is not None:
        return _FINAL.get(final_status, final_status)
    return f"next try in {wait_seconds:.{1 if wait_seconds < _SHORT_SECONDS else 0}f} s"


def error_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its causes, and the members of groups among them."""
    if error is not None:
        yield error
        yield from error_chain(error.__cause__ or error.__context__)
        for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from error_chain(member)
