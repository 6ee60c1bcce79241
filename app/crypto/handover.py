"""Hands a clear text from one process to another through a store that must not see it: HPKE (RFC 9180)."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Recipient:
    """Who gets one text. The private key never leaves this object."""

    def __init__(self) -> None:
        self._key = X25519PrivateKey.generate()

    @property
    def public_key(self) -> bytes:
        """The key for the sender."""
        return self._key.public_key().public_bytes_raw()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return the text; raise InvalidTag if it is for another key, or of another context."""
        return _SUITE.decrypt(sealed, self._key, context)


def seal(text: bytes, public_key: bytes, context: bytes) -> bytes:
    """Return a text that only the owner of the key can open, and only in this context."""
    return _SUITE.encrypt(text, X25519PublicKey.from_public_bytes(public_key), context)
