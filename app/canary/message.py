"""A canary: a delivery of our own that travels the whole path every few seconds. Its age shows if the path works."""

import hmac
import json
from dataclasses import dataclass
from datetime import datetime

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
