"""One sign-in, from the console to the identity provider and back: a secret that the browser keeps, and what follows.

State, nonce and verifier are derived from the secret, so nothing needs to be kept here meanwhile.
"""

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Transaction:
    """A sign-in; `secret` is what the cookie of the browser holds."""

    secret: str

    @classmethod
    def begin(cls) -> "Transaction":
        """Return a new one."""
        return cls(secrets.token_urlsafe(32))

    @property
    def state(self) -> str:
        """What the issuer returns with the code: proves that this browser began the sign-in."""
        return self._derive("state")

    @property
    def nonce(self) -> str:
        """What the ID token repeats: proves that it was issued for this sign-in."""
        return self._derive("nonce")

    @property
    def verifier(self) -> str:
        """What redeems the code (PKCE): the issuer saw only a digest of it before."""
        return self._derive("verifier")

    def _derive(self, purpose: str) -> str:
        return hmac.new(self.secret.encode(), purpose.encode(), sha256).hexdigest()
