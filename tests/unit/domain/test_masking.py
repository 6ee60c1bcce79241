"""Personal data is masked: whatever form a national id is written in, and wherever it stands."""

import base64
import hashlib
import hmac
import json
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.crypto.digests import Fingerprints
from app.domain.masking import mask
from app.domain.national_ids import mask_text
from tests.support.national_ids import Spelling, contents

FINGERPRINTS = Fingerprints(b"k" * 32)


@settings(max_examples=300)
@given(contents())
def test_mask_hides_every_spelling_of_a_national_id_everywhere(sent: tuple[Spelling, dict[str, Any]]) -> None:
    spelling, content = sent
    assert not spelling.is_in(json.dumps(mask(content), ensure_ascii=False))
    assert not spelling.is_in(" ".join(FINGERPRINTS.digests(content)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("19811218-9876", "19811218-****"),
        ("198112189876", "19811218-****"),
        ("811218-9876", "811218-****"),
        ("811218+9876", "811218-****"),
        ("8112189876", "811218-****"),
        (8112189876, "811218-****"),
        (501011234, "050101-****"),
        ("811218–9876", "811218-****"),
        ("８１１２１８－９８７６", "811218-****"),
        ("168112189876", "811218-****"),
        ("000101-T220", "000101-****"),
        ("000101-R220", "000101-****"),
        ("5560360793", "****"),
        ("a national id", "****"),
        ("811218-98765", "****"),
        (["8112189876"], ["811218-****"]),
        ({"value": "8112189876"}, {"value": "811218-****"}),
        ({"8112189876": None}, {"811218-****": None}),
        (True, True),
        (None, None),
    ],
)
@pytest.mark.parametrize(
    "key", ["ssn", "personal_id", "personnummer", "guarantorSsn", "borrower_ssn", "Social security no"]
)
def test_mask_keeps_only_the_birth_date_under_a_key_for_national_ids(key: str, given: object, kept: object) -> None:
    assert mask({"deep": [{"deeper": {key: given}}]}) == {"deep": [{"deeper": {key: kept}}]}


@pytest.mark.parametrize(
    "key", ["company_id", "companyId", "orgNr", "organisationsnummer", "företagsnummer", "vat_number"]
)
@pytest.mark.parametrize(
    "number",
    [
        "8112189876", "811218-9876", "198112189876", "0001112223", "1112229990", "168112189876", "SE811218987601",
        "811218-9876-001", "8112189876-01", "SE 811218–9876 01", 501011234, 8112189876, "501011234", "000101-T220",
    ],
)  # fmt: skip
def test_mask_hides_a_company_number_that_may_be_its_owners(key: str, number: object) -> None:
    assert mask({key: number})[key].endswith("-****")
    assert mask({key: [number]})[key][0].endswith("-****")


@pytest.mark.parametrize(
    "number",
    [
        "556036-0793", "5560360793", "165560360793", "9990001113", 5560360793, "SE556036079301", "5560360794",
        "556036-0793-001", "none", "", "FI12345678", "7c5f2ab3cbiz",
    ],
)  # fmt: skip
def test_mask_keeps_what_is_surely_no_persons(number: object) -> None:
    assert mask({"company_id": number}) == {"company_id": number}


@pytest.mark.parametrize("number", ["556036079", "81121898765"])
def test_mask_hides_a_company_number_that_is_no_organisations(number: str) -> None:
    assert mask({"company_id": number}) == {"company_id": "****"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("VD Anna 811218-9876, född 1981.", "VD Anna 811218-****, född 1981."),
        ("811218-9876 och 19900101-0017", "811218-**** och 19900101-****"),
        ("pnr8112189876", "pnr811218-****"),
        ("kontoutdrag_8112189876.pdf", "kontoutdrag_811218-****.pdf"),
        ("a typing error: 811218-9875", "a typing error: 811218-****"),
        ("anna.811218-9876@example.com", "anna.811218-****@example.com"),
        ("19811218:9876", "19811218-****"),
        ("kund7pnr811218-9876", "kund7pnr811218-****"),
        ("id2pnr8112189876", "id2pnr811218-****"),
        ("811218&nbsp;9876, 811218&#45;9876, 811218%2D9876", "811218-****, 811218-****, 811218-****"),
        ("811218 \t --  9876", "811218-****"),
    ],
)
def test_mask_hides_national_ids_in_free_text(text: str, kept: str) -> None:
    assert mask({"company_description": text, text: None}) == {"company_description": kept, kept: None}


@pytest.mark.parametrize(
    "text",
    [
        "1581933624854x717991094173476900", "0fd0d9f6-7a3f-4c5e-9c59-8e5f7d2a1b3c", "2019-08-24T14:15:22Z",
        "2019-08-24T13:04:27+00:00", "2026-11-20T11:20:16.840208Z", "20261122T153000Z", "DE89370400440532013000",
        "SE35 5000 0000 0549 1000 0003", "+46701740605", "iban_2", "5560360793123", "2026-11-22", "8112189875",
        "Vi är 12 anställda sedan 1998.", "a8112189876b1",
        "9b1c8112189876cper", "20 % av 500 000 kr, 12 mån, 2026-11-22 08:15", "08-123 45 67",
    ],
)  # fmt: skip
def test_mask_keeps_other_texts_and_keys(text: str) -> None:
    assert mask({"x": text, text: 1}) == {"x": text, text: 1}


@pytest.mark.parametrize("key", ["amount", "mortgage_amount", "company_revenue", "offer_id"])
@pytest.mark.parametrize("amount", [500000, 1010008, 125000.5, 10112345.62, -1, "1010008"])
def test_mask_keeps_amounts_that_only_zeros_before_them_would_make_national_ids(key: str, amount: object) -> None:
    assert mask({"x": 1010008}) == {"x": "000101-****"}
    assert mask({key: amount}) == {key: amount}


def test_mask_keeps_a_mobile_number_under_a_key_for_phones_only() -> None:
    number = "0701010001"
    assert mask({"phone": number, "note": number}) == {"phone": number, "note": "070101-****"}
    assert mask({"amount": 8112189876, "value": 811218.9876}) == {"amount": "811218-****", "value": "811218-****"}
    assert mask({"phone": "070101-0001"}) == {"phone": "070101-****"}


def test_mask_keeps_both_of_two_keys_that_are_masked_alike() -> None:
    assert mask({"811218-9876": 1, "811218-9884": 2}) == {"811218-****": 1, "811218-****'": 2}
    assert len(FINGERPRINTS.digests({"19811218-9876": 1, "19811218-9884": 1})) == 2


def test_mask_reduces_files_to_name_type_size_and_hash() -> None:
    raw = b"\x00\x01" * 40
    file = {"type": "Kontohistorik", "filename": "811218-9876.pdf", "data": base64.b64encode(raw).decode(), "x": "y"}
    assert mask({"files": [file]})["files"] == [
        {"type": "Kontohistorik", "filename": "811218-****.pdf", "size": 80, "sha256": hashlib.sha256(raw).hexdigest()}
    ]
    assert "AAEA" not in str(mask({"files": file}))
    assert mask({"files": None}) == {"files": None}


def test_mask_gives_no_hash_of_a_file_whose_content_can_be_guessed() -> None:
    assert mask({"files": ["8112189876"]}) == {"files": [{"size": 10}]}


def test_mask_returns_a_copy() -> None:
    content = {"ssn": "19811218-9876"}
    mask(content)
    assert content == {"ssn": "19811218-9876"}


def test_identity_is_a_digest_only_of_an_id_that_holds_a_national_id() -> None:
    assert FINGERPRINTS.identity("1581933624854x717991094173476900") == "1581933624854x717991094173476900"
    assert FINGERPRINTS.identity("a\u030a1") == "å1"
    first, second = FINGERPRINTS.identity("811218-9876"), FINGERPRINTS.identity("811218-9884")
    assert first != second
    assert "811218" not in first


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.text())
def test_mask_text_of_a_masked_text_changes_nothing(text: str) -> None:
    assert mask_text(mask_text(text)) == mask_text(text)


@given(st.binary(min_size=1, max_size=80), st.dictionaries(st.text("abc_", max_size=4), json_values, max_size=4))
def test_digests_equal_the_simple_implementation(key: bytes, content: dict[str, Any]) -> None:
    def slow(value: Any) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return base64.b64encode(hmac.digest(key, normalize("NFC", text).encode(), "sha256")[:16]).decode().rstrip("=")

    assert Fingerprints(key).digests(content) == {name: slow(value) for name, value in content.items()}


def test_digests_are_the_same_for_both_forms_of_unicode() -> None:
    assert FINGERPRINTS.digests({"ö": "Övrigt"}) == FINGERPRINTS.digests({"o\u0308": "O\u0308vrigt"})


def test_digests_never_change() -> None:
    """Fixed values, in hex: digests must stay comparable for years."""
    content = {"ssn": "19811218-9876", "amount": 500000, "å": [1.5, None, {"b": "ö"}]}
    digests = Fingerprints(b"k" * 32).digests(content)
    assert {name: base64.b64decode(digest + "==").hex() for name, digest in digests.items()} == {
        "ssn": "29fcdfbc07fb68a776070fb1a023d9b0",
        "amount": "951e1170d92dbe25f6a1a3f64471d75a",
        "å": "6b356ae581bc5a1c60d16e575780524b",
    }
