"""JSON from providers: which texts are accepted, and one canonical form to compare values by."""

import codecs
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from json import JSONDecodeError, JSONDecoder, JSONEncoder
from typing import Any, NamedTuple

from app.errors import INVALID, NOT_JSON, InvalidDeliveryError

# Postgres and Python both allow more; no provider nests deeper than five.
_MAX_DEPTH = 64
# A float cannot represent every integer beyond this.
_MAX_EXACT_INTEGER = 2**53
# A longer text holds files, so it has few values: checking every value is then cheaper than searching the text.
_MAX_SEARCHED_LETTERS = 10_000
_GZIP = b"\x1f\x8b"
# The escape of U+0000 or of a surrogate. A JSON text in UTF-8 can hold these characters as escapes only.
_SUSPICIOUS_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


class _NotJsonError(ValueError):
    """What a text holds that Python reads, but JSON lacks."""


class _DuplicateKeyError(Exception):
    """An object has a key twice."""


class ParsedObject(NamedTuple):
    """A JSON object. `duplicates` are its keys that occur twice, or hold an object with such a key; the last counts."""

    content: dict[str, Any]
    duplicates: frozenset[str] = frozenset()


def parse_object(text: bytes) -> ParsedObject:
    """Parse the JSON object in `text`, which may begin with a byte order mark.

    A number without a fraction becomes an int in every notation (4.0 equals 4), so that a retry whose sender prints
    numbers differently is still recognised.

    Raises:
        InvalidDeliveryError: `not-json` unless the text is one JSON object in UTF-8; `invalid` for content that the
            database cannot hold: U+0000, lone surrogates, nesting beyond 64 levels.
    """
    if text.startswith(_GZIP):
        raise InvalidDeliveryError(NOT_JSON, "compressed (gzip)")
    try:
        letters = text.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDeliveryError(NOT_JSON, f"not UTF-8: {_likely_charset(text)}") from error
    try:
        value, duplicates = _decode(letters)
    except (_NotJsonError, JSONDecodeError) as error:
        raise InvalidDeliveryError(NOT_JSON, f"not a JSON text: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidDeliveryError(
            NOT_JSON, "not a JSON text: a number is too long, or it is nested too deep"
        ) from error
    if not isinstance(value, dict):
        raise InvalidDeliveryError(NOT_JSON, "not a JSON object")
    if _may_be_unstorable(letters):
        _require_storable(value)
    return ParsedObject(value, duplicates)


def canonical(value: Any) -> bytes:
    """Return the canonical text of a JSON value: keys sorted, no spaces, Unicode in NFC, UTF-8."""
    # The encoder writes numbers the same way, but prepares for containers first, which takes longer.
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    return (repr(value) if is_number else unicodedata.normalize("NFC", _ENCODER.encode(value))).encode()


def flatten(messages: Mapping[Any, Any]) -> list[str]:
    """Return a validator's nested messages as sorted `path: message` items. They name fields, never values."""
    return sorted(_flat_lines("", messages))


def _parse_float(text: str) -> int | float:
    value = float(text)
    if -_MAX_EXACT_INTEGER < value < _MAX_EXACT_INTEGER:
        return int(value) if value.is_integer() else value
    if math.isinf(value):
        raise _NotJsonError("a number is out of range")
    return value


def _reject_constant(text: str) -> float:
    raise _NotJsonError(f"it holds {text}")


def _likely_charset(text: bytes) -> str:
    """Return which other charset a text may be in."""
    is_wide = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in text[:4]
    return "it looks like UTF-16" if is_wide else "it may be Latin-1 or Windows-1252"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its pairs; raise _DuplicateKeyError."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _DuplicateKeyError
    return made


# Created once: json.loads and json.dumps create one for every call that has options, which takes as long as the rest.
_NUMBERS: Any = {"parse_float": _parse_float, "parse_constant": _reject_constant}
_DECODER = JSONDecoder(object_pairs_hook=_unique, **_NUMBERS)
_ENCODER = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _decode(letters: str) -> tuple[Any, frozenset[str]]:
    """Return a JSON value, and if it is an object the keys that are `duplicates`."""
    try:
        return _DECODER.decode(letters), frozenset()
    except _DuplicateKeyError:
        repeated: list[tuple[dict[str, Any], set[str]]] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        keys = {key for key, count in Counter(key for key, _ in pairs).items() if count > 1}
        repeated.append((made, keys))
        return made

    value = JSONDecoder(object_pairs_hook=build, **_NUMBERS).decode(letters)
    repeated = [(made, keys) for made, keys in repeated if keys]
    return value, frozenset(_keys_holding(value, repeated)) if isinstance(value, dict) else frozenset()


def _keys_holding(content: Mapping[str, Any], repeated: Collection[tuple[dict[str, Any], set[str]]]) -> Iterator[str]:
    """Yield the keys of `content` that are repeated themselves, or hold an object with repeated keys at any depth."""
    objects = {id(found) for found, _ in repeated}
    for key, value in content.items():
        pending = [value]
        while pending:
            item = pending.pop()
            if id(item) in objects:
                yield key
                break
            pending += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    for found, keys in repeated:
        if found is content:
            yield from keys


def _may_be_unstorable(text: str) -> bool:
    """Return whether `_require_storable` must run: a cheap test of the JSON text that has no false negatives."""
    if len(text) > _MAX_SEARCHED_LETTERS or ("\\" in text and _SUSPICIOUS_ESCAPE.search(text) is not None):
        return True
    # The innermost value is at most one level deeper than the number of opening brackets.
    return text.count("{") + text.count("[") >= _MAX_DEPTH


def _require_storable(value: Any) -> None:
    """Raise for content that the database cannot hold. An explicit stack keeps deep content off Python's own."""
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise InvalidDeliveryError(INVALID, f"nested deeper than {_MAX_DEPTH} levels")
        if isinstance(item, str):
            if "\x00" in item or (not item.isascii() and any("\ud800" <= letter <= "\udfff" for letter in item)):
                raise InvalidDeliveryError(INVALID, "a text holds U+0000 or a lone surrogate")
        elif isinstance(item, dict):
            pending += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += [(part, depth + 1) for part in item]


def _flat_lines(path: str, messages: Any) -> list[str]:
    if isinstance(messages, Mapping):
        return [line for key, inner in messages.items() for line in _flat_lines(f"{path}.{key}".strip("."), inner)]
    return [f"{path}: {message}" for message in messages]
