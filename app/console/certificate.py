"""Looks at the certificate that providers see: of the balancer, or of ingest."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from app.audit.problem import Problem, moment
from app.domain.durations import in_words
from app.tls import served_expiry

# The alert KvittoCertificateExpires has the same limit.
SOON = timedelta(days=14)
_REMEMBERED_SECONDS = 10.0
_HINT = "Replace its files, then restart the balancer, or ingest if it serves HTTPS itself."
_NOT_SEEN = "Can providers reach it? If the console alone cannot, correct its CERTIFICATE_URL."


class CertificateWatch:
    """Looks at the server of an address `https://host`, every ten seconds at most. Without an address: nothing."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._clock = clock
        self._looked_at = -_REMEMBERED_SECONDS
        self._found: datetime | OSError | None = None
        self._unseen_since: datetime | None = None

    def expires_at(self) -> datetime | OSError | None:
        """Return when the certificate expires, the error if that cannot be seen, None without an address."""
        if self._host and self._clock() - self._looked_at >= _REMEMBERED_SECONDS:
            self._found, self._looked_at = self._look(), self._clock()
        return self._found

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if the certificate expires soon, or cannot be seen."""
        found = self.expires_at()
        if isinstance(found, OSError):
            what = f"The certificate at {self._host}:{self._port} cannot be seen ({type(found).__name__})"
            yield Problem("certificate-unseen", "", what, _NOT_SEEN, self._unseen_since)
        elif found is not None and (left := found - datetime.now(UTC)) < SOON:
            expires = f"expires in {in_words(left.total_seconds())}" if left > timedelta() else "has expired"
            what = f"The certificate at {self._host}:{self._port} {expires}, at {moment(found)}"
            yield Problem("certificate", "", f"{what}: providers reject an expired one", _HINT)

    def _look(self) -> datetime | OSError:
        try:
            found = served_expiry(self._host, self._port)
        except OSError as error:
            self._unseen_since = self._unseen_since or datetime.now(UTC)
            return error
        self._unseen_since = None
        return found
