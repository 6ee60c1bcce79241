"""Seal bodies with AES-256-GCM, so that nobody can read them in Redis or Postgres without the key.

A sealed body is: version (1 byte) | length of the key id (1 byte) | key id | nonce (12 bytes) | ciphertext and tag.
"""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import BAD_ENVELOPE, WRONG_KEY, InvalidDeliveryError

_VERSION = 1
_NONCE_BYTES = 12


class SealingKeys:
    """256-bit keys by id: the first one seals, every one unseals."""

    def __init__(self, keys: tuple[tuple[str, bytes], ...]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys}
        newest = keys[0][0]
        self._newest = self._ciphers[newest]
        self.key_ids = list(self._ciphers)
        # The first bytes of every body that the first key sealed.
        self.prefix = bytes((_VERSION, len(newest.encode()))) + newest.encode()

    def seal(self, receipt: UUID, body: bytes) -> bytes:
        """Return `body` sealed and bound to its receipt: it unseals under no other receipt."""
        nonce = os.urandom(_NONCE_BYTES)
        return self.prefix + nonce + self._newest.encrypt(nonce, body, receipt.bytes)

    @staticmethod
    def key_of(sealed: bytes) -> str:
        """Return the id of the key that sealed a body."""
        return _split(sealed)[0]

    def unseal(self, receipt: UUID, sealed: bytes) -> bytes:
        """Return the body.

        Raises:
            InvalidDeliveryError: `wrong-key`: the key is missing, or it does not open the seal of this receipt;
                `bad-envelope` for what is no sealed body.
        """
        key_id, nonce, ciphertext = _split(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise InvalidDeliveryError(WRONG_KEY, f"sealed with key {key_id}, which SEALING_KEYS lacks", [key_id])
        try:
            return cipher.decrypt(nonce, ciphertext, receipt.bytes)
        except InvalidTag as error:
            raise InvalidDeliveryError(
                WRONG_KEY, f"key {key_id} of SEALING_KEYS does not open the seal", [key_id]
            ) from error


def _split(sealed: bytes) -> tuple[str, bytes, bytes]:
    """Return key id, nonce and ciphertext."""
    start = 2 + sealed[1] if len(sealed) > 2 else 0
    end = start + _NONCE_BYTES
    if not start or sealed[0] != _VERSION or len(sealed) < end:
        raise InvalidDeliveryError(BAD_ENVELOPE, "not a sealed body")
    return sealed[2:start].decode("ascii", "replace"), sealed[start:end], sealed[end:]
