"""What is kept of a person."""

import base64
import hashlib

import pytest

from app.crypto.digests import Fingerprints
from app.masking import is_personal, mask


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
def test_national_ids_keep_their_birth_date_only(given: object, kept: object) -> None:
    for key in ("ssn", "personal_id", "personnummer"):
        assert mask({"deep": [{"deeper": {key: given}}]}) == {"deep": [{"deeper": {key: kept}}]}


@pytest.mark.parametrize(
    "number", ["8112189876", "811218-9876", "198112189876", "20010101-1234", "0001112223", "1112229990"]
)
def test_a_sole_traders_number_is_personal(number: str) -> None:
    assert is_personal(number)
    assert mask({"company_id": number})["company_id"].endswith("-****")


@pytest.mark.parametrize("number", ["556036-0793", "5560360793", "165560360793", "9990001113"])
def test_an_organisations_number_is_not(number: str) -> None:
    assert mask({"company_id": number}) == {"company_id": number}


def test_files_are_reduced_to_name_type_size_and_hash() -> None:
    raw = b"\x00\x01statement"
    file = {"type": "Kontohistorik", "filename": "k.pdf", "data": base64.b64encode(raw).decode(), "file_ext": "pdf"}
    assert mask({"files": [file, "stray"]})["files"] == [
        {"type": "Kontohistorik", "filename": "k.pdf", "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()},
        {"size": 5, "sha256": hashlib.sha256(b"stray").hexdigest()},
    ]


def test_one_file_outside_a_list_is_reduced_too() -> None:
    assert "c2VjcmV0" not in str(mask({"files": {"filename": "k.pdf", "data": "c2VjcmV0"}}))
    assert mask({"files": None}) == {"files": None}


def test_what_is_masked_is_a_copy() -> None:
    content = {"ssn": "19811218-9876"}
    mask(content)
    assert content == {"ssn": "19811218-9876"}


@pytest.mark.parametrize("key", ["19811218-9876", "8112189876", "811218+9876", "holder 19811218-9876"])
def test_a_key_that_is_a_national_id_is_masked_at_any_depth(key: str) -> None:
    assert "9876" not in str(mask({"holders": [{key: "x"}], key: 1}))
    assert "9876" not in str(Fingerprints(b"k" * 32).digests({key: 1}))


@pytest.mark.parametrize("key", ["amount", "iban_2", "5560360793123", "2026-11-22"])
def test_other_keys_keep_their_names(key: str) -> None:
    assert list(mask({key: 1})) == [key]


def test_two_keys_masked_alike_are_told_apart_by_their_digests() -> None:
    assert len(Fingerprints(b"k" * 32).digests({"19811218-9876": 1, "19811218-9884": 1})) == 2
