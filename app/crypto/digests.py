"""Keyed digests of values: they identify repeated content, and cannot be used to guess a national id."""

import re
import unicodedata
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from app.domain.json_content import canonical
from app.domain.masking import mask_persons
from app.domain.national_ids import mask_text

# 128 bits: no two values of an entity have the same digest by chance, and a ledger keeps a dozen for each event.
_DIGEST_BYTES = 16
# Nearly every key: it holds no digit, and has one form in Unicode.
_USUAL_KEY = re.compile("[A-Za-z_]+")


class Fingerprints:
    """Digests under FINGERPRINT_KEY, which is never rotated: digests must stay comparable with old ones."""

    def __init__(self, key: bytes) -> None:
        self._keyed_hmac = HMAC(key, SHA256())  # copied for every digest, so that the key is set up once

    def digests(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Return for each top-level key 128 bits of the HMAC-SHA256 of its value's canonical text, in base64.

        A key with a national id is replaced by its own digest.
        """
        return {key if _USUAL_KEY.fullmatch(key) else self.identity(key): self._digest(content[key]) for key in content}

    def identity(self, text: str) -> str:
        """Return an id or a key as it is stored: in NFC, or its digest if it holds a national id."""
        return unicodedata.normalize("NFC", text) if mask_text(text) == text else self._digest(text)

    def pseudonym(self, number: str | None) -> str | None:
        """Return the keyed pseudonym of a number as 32 hexadecimal digits; None for None.

        No canonical text begins with the prefix, so that no digest of a value equals a pseudonym.
        """
        if number is None:
            return None
        digest = self._keyed_hmac.copy()
        digest.update(b"pseudonym:" + number.encode())
        return digest.finalize().hex()[:32]

    def mask(self, content: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
        """Return content masked, and the pseudonyms of all persons whose national ids it no longer shows."""
        masked, persons = mask_persons(content)
        return masked, frozenset(filter(None, map(self.pseudonym, persons)))

    def _digest(self, value: Any) -> str:
        digest = self._keyed_hmac.copy()
        digest.update(canonical(value))
        return b2a_base64(digest.finalize()[:_DIGEST_BYTES], newline=False).decode().rstrip("=")
