"""Opens Kompar's bodies: an envelope `{"data": base64, "iv": base64}`, or plain JSON. Their keys distinguish the two.

An envelope is AES-256-CBC with PKCS#7 padding and no MAC: only JSON shows that a key and a way to read the envelope
were right. So every way that some sender uses is tried. No sender learns the result; it got its 200 long before.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from app.domain.json_content import ParsedObject, parse_object
from app.errors import BAD_ENVELOPE, NOT_JSON, WRONG_KEY, InvalidDeliveryError, opened_with

_BLOCK_BYTES = 16
_PADDING = PKCS7(AES.block_size)
_URL_SAFE = str.maketrans("-_", "+/")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_SALTED = b"Salted__"
# How a JSON text begins, in UTF-8 or UTF-16. What a wrong key yields begins so once in a million times.
_BEGINS_LIKE_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*[{\[]\s*["{\[\]}]|(?:\xff\xfe|\xfe\xff)?\x00?[{\[]\x00')
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def open_body(body: bytes, keys: Sequence[tuple[str, bytes]]) -> tuple[ParsedObject, str | None]:
    """Return the JSON object in `body`, and the id of the key that decrypted it, None if it was not encrypted.

    Raises:
        InvalidDeliveryError: `bad-envelope`, `wrong-key`, or what `parse_object` raises.
    """
    outer = parse_object(body)
    if not _is_envelope(outer.content):
        return outer, None
    unreadable: InvalidDeliveryError | None = None
    for key_id, plaintext in _decrypted(outer.content, keys):
        try:
            opened = parse_object(plaintext)
        except InvalidDeliveryError as error:
            # Not raised yet: it may be a wrong key's, and another key opens the body.
            if unreadable is None and (error.reason != NOT_JSON or _is_text(plaintext)):
                unreadable = opened_with(key_id, error)
        else:
            return ParsedObject(opened.content, opened.duplicates | outer.duplicates), key_id
    if unreadable is not None:
        raise unreadable
    if any(decoded.raw.startswith(_SALTED) for decoded in _decodings(outer.content["data"])):
        hint = "the sender must encrypt under the key itself"
        raise InvalidDeliveryError(BAD_ENVELOPE, f"data is salted as OpenSSL does it for a passphrase; {hint}")
    raise InvalidDeliveryError(WRONG_KEY, "no key of KOMPAR_KEYS opens it", [key_id for key_id, _ in keys])


def plaintexts(body: bytes, keys: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield every text that a body may hold, JSON or not: the body itself unless it is an envelope.

    Nothing is yielded of an envelope that no key opens.
    """
    try:
        outer = parse_object(body).content
        if not _is_envelope(outer):
            yield body
            return
        yield from (plaintext for _, plaintext in _decrypted(outer, keys) if _is_text(plaintext))
    except InvalidDeliveryError as error:
        if error.reason != BAD_ENVELOPE:
            yield body


def _decrypted(envelope: Mapping[str, Any], keys: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield what each key and each way to read an envelope make of it, with the key's id.

    Raises:
        InvalidDeliveryError: `bad-envelope`.
    """
    for (key_id, key), iv, ciphertext in product(keys, _ivs(envelope["iv"]), _ciphertexts(envelope["data"])):
        plaintext = _decrypt(key, iv, ciphertext)
        if plaintext is not None:
            yield key_id, plaintext


def _is_envelope(content: Mapping[str, Any]) -> bool:
    """Return whether content is an envelope; a decision may have keys of its own that are named `data` or `iv`."""
    are_texts = isinstance(content.get("data"), str) and isinstance(content.get("iv"), str)
    return are_texts and "application_id" not in content


def _ivs(text: str) -> list[bytes]:
    """Return every IV that a text may stand for.

    Kompar encrypts with 16 hexadecimal characters as IV, and sends the base64 of the 8 bytes that they spell. So
    8 bytes are written as hexadecimal text again, and 16 bytes are the IV itself.
    """
    decodings = list(_decodings(text))
    raws = [decoded.raw for decoded in decodings if len(decoded.raw) in (8, _BLOCK_BYTES)]
    if not raws:
        raise InvalidDeliveryError(BAD_ENVELOPE, f"iv {_describe(decodings)}, not 8 or 16")
    return [raw.hex().encode() if len(raw) == 8 else raw for raw in raws]


def _ciphertexts(text: str) -> list[bytes]:
    """Return every ciphertext that a text may stand for."""
    decodings = list(_decodings(text))
    raws = [decoded.raw for decoded in decodings]
    raws += [raw[16:] for raw in raws if raw.startswith(_SALTED)]
    ciphertexts = [raw for raw in raws if raw and len(raw) % _BLOCK_BYTES == 0]
    if not ciphertexts:
        problem = "not whole blocks of 16: it may be cut short"
        raise InvalidDeliveryError(BAD_ENVELOPE, f"data {_describe(decodings)}, {problem}")
    return ciphertexts


class _Decoded(NamedTuple):
    """What a text may stand for, and the form that it is read as."""

    form: str
    raw: bytes


def _decodings(text: str) -> Iterator[_Decoded]:
    """Yield what a text may stand for: base64, standard or URL-safe, padded or not; base64 of that; hexadecimal."""
    compact = "".join(text.split())
    once = _from_base64(compact)
    if once:
        yield _Decoded("base64", once)
        if once.isascii() and (twice := _from_base64("".join(once.decode().split()))):
            yield _Decoded("base64 of base64", twice)
    if _HEXADECIMAL.fullmatch(compact):
        yield _Decoded("hexadecimal", bytes.fromhex(compact))


def _describe(decodings: list[_Decoded]) -> str:
    """Return what a text looks like, the least common form last."""
    if not decodings:
        return "is neither base64 nor hexadecimal of some bytes"
    return f"looks like {decodings[-1].form} of {len(decodings[-1].raw)} bytes"


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        digits = text.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return None


def _decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes | None:
    """Return the plaintext of AES-CBC with PKCS#7 padding, None if the padding is wrong."""
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    unpadder = _PADDING.unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None


def _is_text(plaintext: bytes) -> bool:
    """Return whether a plaintext was written by somebody: a wrong key yields random bytes."""
    if _BEGINS_LIKE_JSON.match(plaintext):
        return True
    try:
        plaintext.decode()
    except UnicodeDecodeError:
        return False
    return not _CONTROL.search(plaintext)
