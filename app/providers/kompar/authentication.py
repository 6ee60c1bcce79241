"""Kompar's requests carry `Authorization: token SECRET`; nothing is signed."""

import hmac
from collections.abc import Iterator
from datetime import timedelta

from app.errors import AuthenticationError
from app.providers.base import AuthenticationResult, IncomingRequest
from config.environment import Environment


class KomparAuthentication:
    """Accepts any of several tokens, so that a token can be replaced without rejecting deliveries."""

    topics: frozenset[str | None] = frozenset({"applications", "decisions"})
    retried_for = timedelta(minutes=77, seconds=30)
    kept_headers: tuple[str, ...] = ()
    rejections = ("no-token", "wrong-token")

    def __init__(self, tokens: tuple[str, ...]) -> None:
        self._expected = [f"token {token}".encode() for token in tokens]
        self.credentials = [f"token {number} of {len(tokens)}" for number in range(1, len(tokens) + 1)]

    def authenticate(self, request: IncomingRequest) -> AuthenticationResult:
        """Return the URL's topic. The body is not read, because nothing signs it."""
        given = request.header("Authorization").encode("utf-8", "replace")
        # Compares every token, each in constant time, so that the duration reveals nothing.
        matches = [hmac.compare_digest(given, expected) for expected in self._expected]
        if True not in matches:
            raise AuthenticationError("wrong-token" if given else "no-token")
        credential = self.credentials[matches.index(True)]
        return AuthenticationResult(topic=request.topic or "", credential=credential, covers="nothing: the token alone")

    def sample_requests(self) -> Iterator[tuple[str | None, dict[str, str], bytes]]:
        """Yield topic, headers and body of a request with each token, as Kompar would send it."""
        for expected in self._expected:
            yield "decisions", {"Authorization": expected.decode()}, b"{}"


def read(environment: Environment) -> KomparAuthentication:
    """Read KOMPAR_TOKENS."""
    return KomparAuthentication(environment.secrets("KOMPAR_TOKENS"))
