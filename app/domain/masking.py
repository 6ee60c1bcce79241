"""Reduce personal data for everything outside the sealed body: mask national ids, replace files by their hashes.

This is the one place that decides what is personal. The meaning of a key decides how the values under it are read, at
any depth; `national_ids` decides which texts may identify a person.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from app.domain.national_ids import mask_company_number, mask_id, mask_text, person_numbers, to_plain

# How a text, or a number as text, is masked.
_Rule = Callable[[str], str]

# The hash of a smaller file reveals it, because its content can be guessed.
_SMALLEST_HASHED_BYTES = 64
_WORD = re.compile(r"[A-ZÅÄÖ]+(?![a-zåäö])|[A-ZÅÄÖ]?[a-zåäö]+")
_MOBILE_NUMBER = re.compile(r"0?7(?:\W?[0-9]){8}")
_WRITTEN_AS_NATIONAL_ID = re.compile(r"[0-9]{6}[-+][0-9]{4}")


def mask(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with every national id masked and every file replaced by its hash, at any depth."""
    return mask_persons(content)[0]


def mask_persons(content: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return content as `mask` does, and the national ids that it no longer shows, each in one spelling."""
    hidden: list[str] = []
    masked = _mask_mapping(mask_text, content, hidden)
    return masked, {number for text in hidden for number in person_numbers(text)}


# Each of these appends to `hidden` every text, or number as text, that it replaces.
def _mask_mapping(inherited: _Rule, content: Mapping[str, Any], hidden: list[str]) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for key, value in content.items():
        # Nearly every key is letters and underscores only, so it holds no national id.
        name = key if key.replace("_", "").isalpha() else _mask_as(mask_text, key, hidden)
        while name in masked:
            name += "'"  # two keys that are masked alike both stay
        if key == "files":
            masked[name] = _mask_files(value, hidden)
        else:
            masked[name] = _mask_value(_rule_of(key) or inherited, value, hidden)
    return masked


def _mask_value(rule: _Rule, value: Any, hidden: list[str]) -> Any:
    if isinstance(value, str):
        return _mask_as(rule, value, hidden)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return _mask_mapping(rule, value, hidden)
    if isinstance(value, list):
        return [_mask_value(rule, item, hidden) for item in value]
    text = _as_text(value)
    masked = _mask_as(rule, text, hidden)
    return value if masked == text else masked


def _mask_as(rule: _Rule, text: str, hidden: list[str]) -> str:
    masked = rule(text)
    if masked != text:
        hidden.append(text)
    return masked


def _as_text(number: float) -> str:
    """Return a number as it is masked: without a sign, or a fraction of zero."""
    return repr(abs(int(number) if isinstance(number, float) and number.is_integer() else number))


def _mask_amount(text: str) -> str:
    """Mask as any text, but keep up to eight digits and two decimals.

    Only zeros before them, or the decimals as well, would make them a national id.
    """
    whole, _, decimals = text.replace(",", ".").partition(".")
    return text if sum(map(str.isdigit, whole)) <= 8 and len(decimals) <= 2 else mask_text(text)


def _mask_phone(text: str) -> str:
    """Mask as any text, but keep a Swedish mobile number: 0701234567 could be a date of birth as well."""
    plain = to_plain(text).strip()
    is_mobile = _MOBILE_NUMBER.fullmatch(plain) and not _WRITTEN_AS_NATIONAL_ID.fullmatch(plain)
    return text if is_mobile else mask_text(text)


# Rule → the words of the keys that it is for; the first that fits applies. Other texts are searched by `mask_text`.
_NUMBER = "_?(?:id|number|nummer|no|nr)"
_KEYS: Mapping[_Rule, str] = {
    mask_company_number: rf"""
        (?:company|firm|f[öo]retags|bolags|org|organi[sz]ations?|business|corporate|vat|moms(?:reg)?)
        _?(?:reg(?:istration)?)?{_NUMBER}
        | registration_?(?:number|no|nr) | vat""",
    mask_id: rf"""
        ssn | pnr | tin | social_?security(?:{_NUMBER})? | (?:personal|national)_?(?:identity|code)
        | person_?(?:nummer|number|nr|no) | (?:identity|id|identification)_?(?:number|nummer|no|nr)
        | (?:personal|civic|civic_?registration|national|tax|birth|coordination|samordnings){_NUMBER}""",
    _mask_amount: """
        amount | revenue | income | limit | value | duration | age | rate | price | sum | total | balance | turnover
        | cost | fee | interest | cents | count | quantity | salary | debt | offer_id""",
    _mask_phone: "phone | mobile | telephone | tel | telefon | mobil | cell",
}
_RULES = [(rule, re.compile(rf"(?:^|_)(?:{words})s?(?:_|$)", re.VERBOSE)) for rule, words in _KEYS.items()]


@lru_cache(maxsize=1024)
def _rule_of(key: str) -> _Rule | None:
    """Return the rule for the values under a key, None if it means nothing in particular."""
    words = "_".join(_WORD.findall(key)).lower()
    return next((rule for rule, pattern in _RULES if pattern.search(words)), None)


def _mask_files(files: Any, hidden: list[str]) -> Any:
    return [_mask_file(file, hidden) for file in files] if isinstance(files, list) else _mask_file(files, hidden)


def _mask_file(file: Any, hidden: list[str]) -> Any:
    if file is None:
        return None
    if not isinstance(file, Mapping):
        return _size_and_hash(file)
    # Only the type and the name stay, but persons elsewhere in it are hidden as well.
    described = _mask_mapping(mask_text, {key: value for key, value in file.items() if key != "data"}, hidden)
    kept = {key: described[key] for key in ("type", "filename") if isinstance(file.get(key), str)}
    return kept | _size_and_hash(file.get("data"))


def _size_and_hash(data: Any) -> dict[str, Any]:
    """Return size in bytes and SHA-256 of a file in base64; of the text itself if it is not base64.

    A small file gets no hash.
    """
    text = str(data).encode()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = text
    if len(raw) < _SMALLEST_HASHED_BYTES:
        return {"size": len(raw)}
    return {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
