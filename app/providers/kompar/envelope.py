"""Opens Kompar's bodies: `{"data": base64, "iv": base64}`, or plain JSON, told apart by their keys.

AES-256-CBC with PKCS#7 padding and no MAC. Every failure to decrypt, unpad or parse gives one same
outcome, so that nobody outside learns which it was.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from app.crypto.envelopes import decrypt_cbc
from app.domain.json_content import parse_object
from app.errors import CANNOT_OPEN, NOT_JSON, InvalidDeliveryError

_UNOPENED = "no key opens it"


def open_body(body: bytes, keys: Iterable[tuple[str, bytes]]) -> tuple[dict[str, Any], str | None]:
    """Return the JSON object in `body`, and the id of the key that opened it, if it was encrypted.

    Raises:
        InvalidDeliveryError: `not-json`: the body is no JSON object; `cannot-open`: no key opens the envelope.
    """
    outer = parse_object(body)
    if "data" not in outer and "iv" not in outer:
        return outer, None
    iv, ciphertext = _iv(outer), _decoded(outer, "data")
    for label, key in keys:
        try:
            return parse_object(decrypt_cbc(key, iv, ciphertext)), label
        except ValueError:
            continue  # a padding that is wrong: try the next key
        except InvalidDeliveryError as error:
            if error.reason != NOT_JSON:
                raise  # opened, and then found to be something we cannot keep
    raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED)


def _iv(envelope: Mapping[str, Any]) -> bytes:
    """Return the 16 bytes of the IV.

    The sender's IV is 16 hexadecimal characters used as text; what it sends is base64 of the 8 bytes
    that they spell. So 8 bytes are spelled out again, and 16 are taken as they are.
    """
    decoded = _decoded(envelope, "iv")
    if len(decoded) == 8:
        return decoded.hex().encode("ascii")
    if len(decoded) == 16:
        return decoded
    raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED)


def _decoded(envelope: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(envelope[key], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvalidDeliveryError(CANNOT_OPEN, _UNOPENED) from error
