"""A canary: a delivery of our own that travels the whole path every few seconds; its age shows whether that is open."""

import hmac
import json
from dataclasses import dataclass
from datetime import datetime

# The first segment of its URL, where providers have their names; the second is the provider whose path it travels.
PROVIDER = "canary"
SIGNATURE = "Canary-Signature"
# The newest is all that counts: of those that nobody takes in, no more than these stay in Redis.
KEPT = 100


@dataclass(frozen=True, slots=True)
class Canary:
    """Sent along `provider`'s path at `sent_at`, by its sender's clock."""

    provider: str
    sent_at: datetime

    def to_body(self) -> bytes:
        """Return what is posted."""
        return json.dumps({"provider": self.provider, "sent_at": self.sent_at.isoformat()}).encode()

    @classmethod
    def parse(cls, body: bytes) -> "Canary":
        """Read what was posted; raises KeyError, TypeError or ValueError for anything else."""
        document = json.loads(body)
        sent_at = datetime.fromisoformat(document["sent_at"])
        if sent_at.tzinfo is None:
            raise ValueError("a time without its zone")
        return cls(document["provider"], sent_at)


def road(provider: str) -> str:
    """Return the name under which a provider's canaries wait, in Redis and in the overflow: no provider has it."""
    return f"{PROVIDER}/{provider}"


def sign(secret: str, body: bytes) -> str:
    """Return the signature of a body: its HMAC-SHA256 in hexadecimal."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Tell whether the signature is the body's, in constant time."""
    return hmac.compare_digest(signature.encode("utf-8", "replace"), sign(secret, body).encode())
