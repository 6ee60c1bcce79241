"""JSON as providers send it: what is taken, and one canonical form to compare by."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from app.errors import INVALID, NOT_JSON, InvalidDeliveryError

# Postgres and Python both end somewhere above; no provider nests beyond five.
_DEPTH = 64
# Beyond these, whole numbers and floats are not told apart without loss.
_WHOLE = 2**53
# Letters; what is longer holds files, that is few values: looking at those is cheaper than at every letter.
_LONG = 10_000
# U+0000 or a surrogate, perhaps one of a pair: in a text that is UTF-8 and JSON they stand as escapes alone.
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def parse_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object that `text` is.

    Numbers without a fraction become int however they are written (4.0 and 4 are one number), so
    that a repetition is recognised whichever way its sender prints them.

    Raises:
        InvalidDeliveryError: `not-json` for anything but one UTF-8 JSON object; `invalid` for what the
            database cannot hold: U+0000, lone surrogates, nesting beyond 64 levels.
    """
    try:
        letters = text.decode("utf-8")
        value = _DECODER.decode(letters)
    except (ValueError, RecursionError) as error:
        raise InvalidDeliveryError(NOT_JSON, "not a JSON text in UTF-8") from error
    if not isinstance(value, dict):
        raise InvalidDeliveryError(NOT_JSON, "not a JSON object")
    if _is_suspicious(letters):
        _check(value)
    return value


def canonical(value: Any) -> bytes:
    """Return the one text of a JSON value: keys sorted, no spaces, UTF-8."""
    # Numbers are written thus by the encoder too, but only after it has made itself ready for containers.
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    return (repr(value) if is_number else _ENCODER.encode(value)).encode()


def _number(text: str) -> int | float:
    value = float(text)
    if -_WHOLE < value < _WHOLE:
        return int(value) if value.is_integer() else value
    if math.isinf(value):
        raise ValueError("out of range")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


# Made once: json.loads and json.dumps make one for every call that has options.
_DECODER = json.JSONDecoder(parse_float=_number, parse_constant=_no_number)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _is_suspicious(text: str) -> bool:
    """Tell whether a JSON text may hold what `_check` raises for, by a look that is cheap and never misses it."""
    if len(text) > _LONG or ("\\" in text and _SUSPICIOUS.search(text) is not None):
        return True
    # The innermost value is at most one level deeper than there are brackets.
    return text.count("{") + text.count("[") >= _DEPTH


def _check(value: Any) -> None:
    """Raise for what the database cannot hold; a stack of our own, so that depth cannot exhaust Python's."""
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > _DEPTH:
            raise InvalidDeliveryError(INVALID, f"nested deeper than {_DEPTH} levels")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, dict):
            pending += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += [(part, depth + 1) for part in item]


def _check_text(text: str) -> None:
    if text.isascii() and "\x00" not in text:
        return
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidDeliveryError(INVALID, "a text holds U+0000 or a lone surrogate")


def flatten(messages: Mapping[Any, Any]) -> str:
    """Return a validator's nested messages as `path: message`, sorted; they name fields, never values."""
    return "; ".join(sorted(_flattened("", messages)))


def _flattened(path: str, messages: Any) -> list[str]:
    if isinstance(messages, Mapping):
        return [line for key, inner in messages.items() for line in _flattened(f"{path}.{key}".strip("."), inner)]
    return [f"{path}: {message}" for message in messages]
