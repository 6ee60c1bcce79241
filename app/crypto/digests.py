"""Keyed digests of values: enough to recognise a repetition, of no use to guess a national id with."""

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from app.domain.json_content import canonical
from app.domain.masking import mask_text


class Fingerprints:
    """Digests under FINGERPRINT_KEY, which is not rotated with the sealing keys: old digests must stay comparable."""

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())  # copied for every digest: the key goes in once

    def digests(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return each top-level key with the HMAC-SHA256 of its value's canonical text, base64.

        A key that is itself written like a national id is digested too.
        """
        return {self._name(key): self._digest(value) for key, value in content.items()}

    def _name(self, key: str) -> str:
        return key if mask_text(key) == key else self._digest(key)

    def _digest(self, value: Any) -> str:
        digest = self._keyed.copy()
        digest.update(canonical(value))
        return b2a_base64(digest.finalize(), newline=False).decode()
