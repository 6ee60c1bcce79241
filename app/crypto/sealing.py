"""Seals bodies with AES-256-GCM, so that what waits in Redis or rests in Postgres cannot be read.

A sealed body is: version (1 byte) | length of the key id (1 byte) | key id | nonce (12 bytes) | ciphertext and tag.
"""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import CANNOT_OPEN, InvalidDeliveryError

_VERSION = 1
_NONCE = 12


class SealingKeys:
    """A ring of 256-bit keys: the first seals, every one of them opens."""

    def __init__(self, keys: tuple[tuple[str, bytes], ...]) -> None:
        self._ciphers = {label: AESGCM(key) for label, key in keys}
        newest = keys[0][0]
        self._newest = self._ciphers[newest]
        # What every body begins with that the first key sealed.
        self.prefix = bytes((_VERSION, len(newest.encode()))) + newest.encode()

    def seal(self, receipt: UUID, body: bytes) -> bytes:
        """Return `body` sealed and bound to its receipt: it opens under no other."""
        nonce = os.urandom(_NONCE)
        return self.prefix + nonce + self._newest.encrypt(nonce, body, receipt.bytes)

    @staticmethod
    def key_of(sealed: bytes) -> str:
        """Return the id of the key that a body was sealed with."""
        return _split(sealed)[0]

    def unseal(self, receipt: UUID, sealed: bytes) -> bytes:
        """Return the body.

        Raises:
            InvalidDeliveryError: `cannot-open`: the key is missing, or the seal is broken or another receipt's.
        """
        label, nonce, ciphertext = _split(sealed)
        cipher = self._ciphers.get(label)
        if cipher is None:
            raise InvalidDeliveryError(CANNOT_OPEN, "sealed with a key that SEALING_KEYS lacks")
        try:
            return cipher.decrypt(nonce, ciphertext, receipt.bytes)
        except InvalidTag as error:
            raise InvalidDeliveryError(CANNOT_OPEN, "the seal is broken") from error


def _split(sealed: bytes) -> tuple[str, bytes, bytes]:
    start = 2 + sealed[1] if len(sealed) > 2 else 0
    if not start or sealed[0] != _VERSION or len(sealed) < start + _NONCE:
        raise InvalidDeliveryError(CANNOT_OPEN, "not a sealed body")
    return (
        sealed[2:start].decode("ascii", "replace"),
        sealed[start : start + _NONCE],
        sealed[start + _NONCE :],
    )
