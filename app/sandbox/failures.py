"""Tries that failed, in words: why, and what comes next; no secret, nothing of a body."""

import socket
import ssl
from collections.abc import Iterator

import httpx

CUT = "answered 200, and cut off on purpose"
# The first that is found in what was raised, or in what that came from, tells why.
_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLError, "TLS failed: is HTTPS served there?"),
    (TimeoutError, "no answer in time"),
    (socket.gaierror, "the host's name is not known"),
    (UnicodeError, "the host's name is not known"),
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    (ConnectionError, "the connection was cut off"),
    (httpx.RemoteProtocolError, "the connection ended without an answer of HTTP"),
    (httpx.InvalidURL, "its URL is none"),
)

_ENDINGS = {
    "lost": "the timer of its next try is lost",
    "cancelled": "its subscription is cancelled",
    "dropped": "no other try: its subscription was removed",
}
_SHORT_SECONDS = 10


def why(error: BaseException) -> str:
    """Return why no answer came."""
    found = list(causes(error))
    for cause in found:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate not trusted by the system nor by the sandbox's authority ({cause.verify_message})"
    for kind, words in _REASONS:
        if any(isinstance(cause, kind) for cause in found):
            return words
    return f"the connection failed ({type(error).__name__})"


def then(ending: str | None, wait_seconds: float) -> str:
    """Return what comes next: by the delivery's ending, or, without one, another try."""
    if ending is not None:
        return _ENDINGS.get(ending, ending)
    return f"next try in {wait_seconds:.{1 if wait_seconds < _SHORT_SECONDS else 0}f} s"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and what it came from, of a group every member."""
    if error is not None:
        yield error
        yield from causes(error.__cause__ or error.__context__)
        for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from causes(member)
