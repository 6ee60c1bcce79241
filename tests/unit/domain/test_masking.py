"""Personal data is masked."""

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.digests import Fingerprints
from app.domain.masking import is_personal, mask, mask_text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("19811218-9876", "19811218-****"),
        ("198112189876", "19811218-****"),
        ("811218-9876", "811218-****"),
        ("811218+9876", "811218-****"),
        ("8112189876", "811218-****"),
        (8112189876, "811218-****"),
        ("a national id", "****"),
        ("811218-98765", "****"),
        (["8112189876"], ["811218-****"]),
        ({"value": "8112189876"}, {"value": "811218-****"}),
        (None, None),
    ],
)
def test_mask_keeps_only_the_birth_date_of_a_national_id(given: object, kept: object) -> None:
    for key in ("ssn", "personal_id", "personnummer"):
        assert mask({"deep": [{"deeper": {key: given}}]}) == {"deep": [{"deeper": {key: kept}}]}


@pytest.mark.parametrize(
    "number", ["8112189876", "811218-9876", "198112189876", "20010101-1234", "0001112223", "1112229990"]
)
def test_is_personal_of_a_sole_traders_number(number: str) -> None:
    assert is_personal(number)
    assert mask({"company_id": number})["company_id"].endswith("-****")


@pytest.mark.parametrize("number", ["556036-0793", "5560360793", "165560360793", "9990001113"])
def test_is_personal_not_of_an_organisations_number(number: str) -> None:
    assert mask({"company_id": number}) == {"company_id": number}


def test_mask_reduces_files_to_name_type_size_and_hash() -> None:
    raw = b"\x00\x01statement"
    file = {"type": "Kontohistorik", "filename": "k.pdf", "data": base64.b64encode(raw).decode(), "file_ext": "pdf"}
    assert mask({"files": [file, "stray"]})["files"] == [
        {"type": "Kontohistorik", "filename": "k.pdf", "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()},
        {"size": 5, "sha256": hashlib.sha256(b"stray").hexdigest()},
    ]


def test_mask_reduces_a_file_outside_a_list() -> None:
    assert "c2VjcmV0" not in str(mask({"files": {"filename": "k.pdf", "data": "c2VjcmV0"}}))
    assert mask({"files": None}) == {"files": None}


def test_mask_returns_a_copy() -> None:
    content = {"ssn": "19811218-9876"}
    mask(content)
    assert content == {"ssn": "19811218-9876"}


@pytest.mark.parametrize("key", ["19811218-9876", "8112189876", "811218+9876", "holder 19811218-9876"])
def test_mask_masks_a_key_that_is_a_national_id_at_any_depth(key: str) -> None:
    assert "9876" not in str(mask({"holders": [{key: "x"}], key: 1}))
    assert "9876" not in str(Fingerprints(b"k" * 32).digests({key: 1}))


@pytest.mark.parametrize("key", ["amount", "iban_2", "5560360793123", "2026-11-22"])
def test_mask_keeps_other_keys(key: str) -> None:
    assert list(mask({key: 1})) == [key]


def test_digests_differ_for_two_keys_that_are_masked_alike() -> None:
    assert len(Fingerprints(b"k" * 32).digests({"19811218-9876": 1, "19811218-9884": 1})) == 2


def slow_mask_text(text: str) -> str:
    """`mask_text` without its shortcut: it searches every text."""
    return re.sub(r"(?<!\d)((?:\d\d)?\d{6})[-+ ]?\d{4}(?!\d)", r"\1-****", text, flags=re.ASCII)


def slow_mask(key: str, value: Any) -> Any:
    """`mask` without its table of rules."""
    if key in {"ssn", "personal_id", "personnummer"}:
        return slow_hidden(value)
    if key == "company_id" and is_personal(value):
        return slow_hidden(value)
    if isinstance(value, dict):
        return {slow_mask_text(name): slow_mask(name, item) for name, item in value.items()}
    return [slow_mask("", item) for item in value] if isinstance(value, list) else value


def slow_hidden(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {key: slow_hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [slow_hidden(item) for item in value]
    digits = "".join(letter for letter in str(value) if letter in "0123456789")
    return f"{digits[:-4]}-****" if len(digits) in {10, 12} else "****"


ids = st.from_regex(r"[a_é ٣]?([0-9]{2})?[0-9]{6}[-+ ]?[0-9]{4}[0-9x_٣]?", fullmatch=True)
keys = ids | st.sampled_from(["ssn", "personal_id", "personnummer", "company_id", "a_b", ""]) | st.text(max_size=3)
values = st.recursive(
    ids
    | st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**9, 10**12)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@given(keys)
def test_mask_text_equals_the_simple_implementation(text: str) -> None:
    assert mask_text(text) == slow_mask_text(text)


@given(st.dictionaries(keys, values, max_size=4))
def test_mask_equals_the_simple_implementation(content: dict[str, Any]) -> None:
    assert repr(mask(content)) == repr(slow_mask("", content))


@given(st.binary(min_size=1, max_size=80), st.dictionaries(keys, values, max_size=4))
def test_digests_equal_the_simple_implementation(key: bytes, content: dict[str, Any]) -> None:
    def slow(value: Any) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()

    def name(text: str) -> str:
        return text if slow_mask_text(text) == text else slow(text)

    assert Fingerprints(key).digests(content) == {name(text): slow(value) for text, value in content.items()}


def test_digests_never_change() -> None:
    """Fixed values, in hex: digests must stay comparable for years."""
    content = {"ssn": "19811218-9876", "amount": 500000, "å": [1.5, None, {"b": "ö"}]}
    digests = Fingerprints(b"k" * 32).digests(content)
    assert {name: base64.b64decode(digest).hex() for name, digest in digests.items()} == {
        "ssn": "29fcdfbc07fb68a776070fb1a023d9b0355b164379ef2b73c4b2ca20ecc120bd",
        "amount": "951e1170d92dbe25f6a1a3f64471d75a3bfa681ef07154e4fa38f38ab6217564",
        "å": "6b356ae581bc5a1c60d16e575780524bc6112d745aadd4b10ddc69cc1df6d976",
    }
