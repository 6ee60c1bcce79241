"""What is kept of a person outside the sealed body: national ids masked, files reduced to their hashes."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

_ID_KEYS = frozenset({"ssn", "personal_id", "personnummer"})
_NOT_DIGITS = re.compile(r"\D+", re.ASCII)
_NATIONAL_ID = re.compile(r"(?<!\d)((?:\d\d)?\d{6})[-+ ]?\d{4}(?!\d)", re.ASCII)


def mask(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with every national id masked, at any depth, and every file reduced to its hash."""
    return {mask_text(key): _masked(key, value) for key, value in content.items()}


def mask_text(text: str) -> str:
    """Return a text (the name of a key, say) with whatever is written like a national id masked."""
    # Nearly every key is letters and underscores, and no national id.
    return text if text.replace("_", "").isalpha() else _NATIONAL_ID.sub(r"\1-****", text)


def _masked(key: str, value: Any) -> Any:
    rule = _RULES.get(key)
    if rule is not None:
        return rule(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return mask(value)
    if isinstance(value, list):
        return [_masked("", item) for item in value]
    return value


def is_personal(company_id: Any) -> bool:
    """Tell whether a company's number is its owner's own: a sole trader's.

    An organisation's third digit (of ten) is 2 or more, where a birth date has its month's tens.
    """
    digits = _NOT_DIGITS.sub("", str(company_id))
    if len(digits) == 12:
        return digits.startswith(("19", "20"))
    return len(digits) == 10 and digits[2] < "2"


def _hidden(value: Any) -> Any:
    """Keep the birth date of a national id; of anything else that may be one, nothing."""
    if isinstance(value, str):
        return _birth_date(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    return _birth_date(str(value))


def _birth_date(text: str) -> str:
    digits = _NOT_DIGITS.sub("", text)
    return f"{digits[:-4]}-****" if len(digits) in {10, 12} else "****"


def _hidden_if_personal(company_id: Any) -> Any:
    return _hidden(company_id) if is_personal(company_id) else _masked("", company_id)


def _files(files: Any) -> Any:
    return [_reduced(file) for file in files] if isinstance(files, list) else _reduced(files)


def _reduced(file: Any) -> Any:
    if file is None:
        return None
    if not isinstance(file, Mapping):
        return _fingerprint(file)
    named = {key: file[key] for key in ("type", "filename") if isinstance(file.get(key), str)}
    return named | _fingerprint(file.get("data"))


def _fingerprint(data: Any) -> dict[str, Any]:
    """Return size in bytes and SHA-256 of a file sent as base64; of text that is not, of the text."""
    text = str(data).encode()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = text
    return {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


# What is done to the values of certain keys, at any depth.
_RULES: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_ID_KEYS, _hidden),
    "company_id": _hidden_if_personal,
    "files": _files,
}
