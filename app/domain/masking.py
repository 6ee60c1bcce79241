"""Reduce personal data for everything outside the sealed body: mask national ids, replace files by their hashes."""

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
    """Return a copy with every national id masked and every file replaced by its hash, at any depth."""
    return {mask_text(key): _mask_value(key, value) for key, value in content.items()}


def mask_text(text: str) -> str:
    """Return a text, such as a key, with everything in the form of a national id masked."""
    # Nearly every key is letters and underscores only, so it holds no national id.
    return text if text.replace("_", "").isalpha() else _NATIONAL_ID.sub(r"\1-****", text)


def is_personal(company_id: Any) -> bool:
    """Return whether a company's number is the national id of its owner, a sole trader.

    The third of ten digits is 2 or more for an organisation; in a birth date it is the tens digit of the month.
    """
    digits = _NOT_DIGITS.sub("", str(company_id))
    if len(digits) == 12:
        return digits.startswith(("19", "20"))
    return len(digits) == 10 and digits[2] < "2"


def _mask_value(key: str, value: Any) -> Any:
    rule = RULES.get(key)
    if rule is not None:
        return rule(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return mask(value)
    if isinstance(value, list):
        return [_mask_value("", item) for item in value]
    return value


def _mask_id(value: Any) -> Any:
    """Keep the birth date of a national id; replace every other text or number completely."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {key: _mask_id(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask_id(item) for item in value]
    digits = _NOT_DIGITS.sub("", str(value))
    return f"{digits[:-4]}-****" if len(digits) in {10, 12} else "****"


def _mask_company_id(company_id: Any) -> Any:
    return _mask_id(company_id) if is_personal(company_id) else _mask_value("", company_id)


def _mask_files(files: Any) -> Any:
    return [_mask_file(file) for file in files] if isinstance(files, list) else _mask_file(files)


def _mask_file(file: Any) -> Any:
    if file is None:
        return None
    if not isinstance(file, Mapping):
        return _size_and_hash(file)
    described = {key: file[key] for key in ("type", "filename") if isinstance(file.get(key), str)}
    return described | _size_and_hash(file.get("data"))


def _size_and_hash(data: Any) -> dict[str, Any]:
    """Return size in bytes and SHA-256 of a file in base64; of the text itself if it is not base64."""
    text = str(data).encode()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = text
    return {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


# Key → how its value is masked, at any depth.
RULES: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_ID_KEYS, _mask_id),
    "company_id": _mask_company_id,
    "files": _mask_files,
}
