"""Opens Kompar's bodies: an envelope `{"data": base64, "iv": base64}`, or plain JSON. Their keys distinguish the two.

An envelope is AES-256-CBC with PKCS#7 padding and no MAC. Every failure to decrypt, unpad or parse has the same
outcome, so that a sender cannot learn which step failed.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from app.domain.json_content import parse_object
from app.errors import CANNOT_OPEN, NOT_JSON, InvalidDeliveryError

_PADDING = PKCS7(AES.block_size)
_UNOPENED = "no key opens it"


def open_body(body: bytes, keys: Iterable[tuple[str, bytes]]) -> tuple[dict[str, Any], str | None]:
    """Return the JSON object in `body`, and the id of the key that decrypted it, None if it was not encrypted.

    Raises:
        InvalidDeliveryError: `not-json` unless the body is a JSON object; `cannot-open` if no key opens the envelope.
    """
    outer = parse_object(body)
    if "data" not in outer and "iv" not in outer:
        return outer, None
    iv, ciphertext = _decode_iv(outer), _decode(outer, "data")
    for key_id, key in keys:
        try:
            return parse_object(_decrypt(key, iv, ciphertext)), key_id
        except ValueError:
            continue  # wrong padding: try the next key
        except InvalidDeliveryError as error:
            if error.reason != NOT_JSON:
                raise  # the key is right, but the content cannot be stored
    raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED)


def _decode_iv(envelope: Mapping[str, Any]) -> bytes:
    """Return the 16 bytes of the IV.

    Kompar encrypts with 16 hexadecimal characters as IV, and sends the base64 of the 8 bytes that they spell. So
    8 bytes are written as hexadecimal text again, and 16 bytes are the IV itself.
    """
    decoded = _decode(envelope, "iv")
    if len(decoded) == 8:
        return decoded.hex().encode("ascii")
    if len(decoded) == 16:
        return decoded
    raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED)


def _decode(envelope: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(envelope[key], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED) from error


def _decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Return the plaintext of AES-CBC with PKCS#7 padding; raise ValueError if the padding is wrong."""
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = _PADDING.unpadder()
    return unpadder.update(padded) + unpadder.finalize()
