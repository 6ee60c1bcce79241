"""Canaries: deliveries of our own that travel the whole path every few seconds. Their age shows if the path works."""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import datetime

from config.folders import private_folder

# The first segment of its URL, where a provider's name would be. The second is the provider whose path it travels.
PROVIDER = "canary"
SIGNATURE = "Canary-Signature"
# Only the newest canary matters: while no worker consumes them, Redis keeps no more than this.
MAX_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """Sent along `provider`'s path at `sent_at`, by the sender's clock."""

    provider: str
    sent_at: datetime

    def to_body(self) -> bytes:
        """Return the request body."""
        return json.dumps({"provider": self.provider, "sent_at": self.sent_at.isoformat()}).encode()

    @classmethod
    def parse(cls, body: bytes) -> "Canary":
        """Parse a request body; raises KeyError, TypeError or ValueError for anything else."""
        document = json.loads(body)
        sent_at = datetime.fromisoformat(document["sent_at"])
        if sent_at.tzinfo is None:
            raise ValueError("sent_at has no time zone")
        return cls(document["provider"], sent_at)


def inbox_name(provider: str) -> str:
    """Return the name of the inbox and the overflow of a provider's canaries; no provider can have it."""
    return f"{PROVIDER}/{provider}"


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body: its HMAC-SHA256 in hexadecimal."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Return whether the signature is the body's, in constant time."""
    return hmac.compare_digest(signature.encode("utf-8", "replace"), sign(secret, body).encode())


class Heartbeat:
    """A file that beat touches before every canary, for a health check. Each beat of a machine has its own URL."""

    def __init__(self, ingest_url: str) -> None:
        self._file = private_folder("beat") / hashlib.sha256(ingest_url.encode()).hexdigest()[:16]

    def beat(self) -> None:
        """Record that a canary is being sent, whether or not it arrives."""
        self._file.touch(mode=0o600)

    def age_seconds(self) -> float | None:
        """Return how long ago the last canary was sent; None if none ever was. Negative if the clock was set back."""
        try:
            return time.time() - self._file.stat().st_mtime
        except FileNotFoundError:
            return None
