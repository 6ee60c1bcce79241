"""Kompar's bodies: opened, validated, identified."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.se import personnummer

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Event, all_flags
from app.errors import AuthenticationError, InvalidDeliveryError
from app.providers.kompar.authentication import KomparAuthentication
from app.providers.kompar.envelope import open_body
from app.providers.kompar.events import Kompar
from app.providers.kompar.schemas import CHECKS
from app.sandbox.kompar import encrypt
from tests.support.providers.kompar_fixtures import DELIVERIES, KEY, TOKEN

SAMPLES: list[dict[str, Any]] = DELIVERIES
KEYS = (("other", b"o" * 32), ("sample", KEY.encode()))
KOMPAR = Kompar(KEYS, Fingerprints(b"k" * 32))
APPLICATION = SAMPLES[0]["expect"]["content"]


class Request:
    """A request as the edge shows it; asking for the body is an error: nothing signs it."""

    topic = "applications"

    def __init__(self, authorization: str | None) -> None:
        self._authorization = authorization

    def header(self, name: str) -> str:
        return (self._authorization or "") if name == "Authorization" else ""

    @property
    def body(self) -> bytes:
        raise AssertionError("read before it was authenticated")


def event(content: dict[str, Any], topic: str = "applications") -> Event:
    return KOMPAR.validate(KOMPAR.open(topic, {}, json.dumps(content).encode()))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_samples(sample: dict[str, Any]) -> None:
    """Opened and validated, without what depends on an entity's history."""
    expected = sample["expect"]
    if expected["outcome"] == "dead":
        with pytest.raises(InvalidDeliveryError):
            KOMPAR.validate(KOMPAR.open(sample["topic"], {}, sample["body"].encode()))
    elif "content" in expected:
        payload = KOMPAR.open(sample["topic"], {}, sample["body"].encode())
        assert payload.content == expected["content"]
        if "flags" in expected:
            assert bool(all_flags(KOMPAR.validate(payload).field_flags)) == expected["flags"]


@pytest.mark.parametrize("token", ["first", TOKEN])
def test_any_of_several_tokens_is_accepted(token: str) -> None:
    assert KomparAuthentication(("first", TOKEN)).authenticate(Request(f"token {token}")).topic == "applications"


@pytest.mark.parametrize(
    "header", [None, "", "token ", f"Bearer {TOKEN}", TOKEN, f"token {TOKEN} ", "token \xff", f"token {TOKEN},first"]
)
def test_other_authorization_is_rejected(header: str | None) -> None:
    with pytest.raises(AuthenticationError) as caught:
        KomparAuthentication(("first", TOKEN)).authenticate(Request(header))
    assert TOKEN not in str(caught.value)


def test_the_sandbox_and_the_receiver_agree() -> None:
    assert open_body(encrypt(dict(APPLICATION), KEY), KEYS) == (APPLICATION, "sample")


def test_every_failure_to_open_has_the_same_error() -> None:
    whole = json.loads(encrypt(dict(APPLICATION), KEY))
    data = base64.b64decode(whole["data"])
    broken = [
        encrypt(dict(APPLICATION), "w" * 32),
        json.dumps(whole | {"data": base64.b64encode(data[:-1]).decode()}).encode(),
        json.dumps(whole | {"data": base64.b64encode(data[:-16]).decode()}).encode(),
        json.dumps(whole | {"data": "%%%"}).encode(),
        json.dumps(whole | {"data": 7}).encode(),
        json.dumps(whole | {"iv": "AAAA"}).encode(),
        json.dumps({"data": whole["data"]}).encode(),
    ]
    found = []
    for body in broken:
        with pytest.raises(InvalidDeliveryError) as caught:
            open_body(body, KEYS)
        found.append(str(caught.value))
    assert set(found) == {"cannot-open: no key opens it"}


@pytest.mark.parametrize("absent", [{}, {"application_id": None}, {"application_id": " "}, {"application_id": 7}])
def test_without_an_application_id_there_is_no_entity(absent: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        event({key: value for key, value in APPLICATION.items() if key != "application_id"} | absent)
    assert caught.value.reason == "missing-id"


@pytest.mark.parametrize("key", sorted(APPLICATION.keys() - {"application_id"}))
def test_other_keys_may_be_null_or_missing(key: str) -> None:
    assert event(APPLICATION | {key: None}).content[key] is None
    assert key not in event({name: value for name, value in APPLICATION.items() if name != key}).content


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"amount": "half a million"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"company_revenue": "much"}, "company_revenue"),
        ({"guarantors": [{"ssn": 7}]}, "guarantors.0.ssn"),
        ({"guarantors": "two"}, "guarantors"),
        ({"name": ["a"]}, "name"),
    ],
)
def test_an_invalid_field_is_named_and_its_value_is_not(wrong: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        event(APPLICATION | wrong)
    assert caught.value.reason == "invalid"
    assert caught.value.detail.startswith(path)
    assert not any(str(value) in caught.value.detail for value in wrong.values())


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ({}, []),
        ({"company_id": "165560360793"}, []),
        ({"company_id": "19811218-9876", "ssn": "811218-9876"}, []),
        ({"company_id": "5560360794"}, ["company-id-checksum"]),
        ({"company_id": "none"}, ["company-id-checksum"]),
        ({"ssn": "19811278-9873"}, []),  # samordningsnummer: the day raised by 60
        ({"ssn": "19811218-9875"}, ["ssn-checksum"]),
        ({"ssn": "19810231-9870"}, ["ssn-checksum"]),
        ({"ssn": "٨١١٢١٨٩٨٧٦"}, ["ssn-checksum"]),
        ({"guarantors": [{"ssn": None}, {"name": "x"}, {"ssn": "1"}]}, ["ssn-checksum"]),
        ({"purpose": "Köpa en båt", "company_id": "1"}, ["company-id-checksum", "unknown-purpose"]),
    ],
)
def test_doubtful_values_are_flagged_and_kept(content: dict[str, Any], flags: list[str]) -> None:
    assert all_flags(event(APPLICATION | content).field_flags) == flags


@pytest.mark.parametrize("value", [5560360793, 1.5, True, ["a"], {"a": 1}])
def test_decision_accepts_any_type_under_keys_of_an_application(value: object) -> None:
    found = event({"application_id": "a", "accepted": True, "company_id": value, "purpose": value}, "decisions")
    assert all_flags(found.field_flags) == ["company-id-checksum", "unknown-purpose"]


def passes_luhn(digits: str) -> bool:
    """Luhn's sum as the textbook has it, independent of the library."""
    doubled = [int(digit) * (2 if index % 2 == 0 else 1) for index, digit in enumerate(digits)]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


@given(st.from_regex(r"[0-9]{2}[2-9][0-9]{7}", fullmatch=True))
def test_company_id_passes_only_with_its_check_digit(number: str) -> None:
    """An organisation's number, whose third digit no month begins with, passes by its check digit alone."""
    [(_, is_company)] = CHECKS["company_id"]
    candidates = [number[:-1] + last for last in "0123456789"]
    assert [is_company(candidate) for candidate in candidates] == [passes_luhn(candidate) for candidate in candidates]


@given(st.from_regex(r"19[0-9]{2}(0[1-9]|1[0-2])[0-2][0-9]-[0-9]{4}", fullmatch=True))
def test_ssn_check_agrees_with_the_library_on_dates_of_the_20th_century(number: str) -> None:
    [(_, is_person)] = CHECKS["ssn"]
    assert is_person(number) == personnummer.is_valid(number)


def test_event_keeps_content_unchanged_except_national_ids() -> None:
    found = event(APPLICATION | {"mortgage_amount": 1.5, "personal_id": "8112189876"})
    assert found.content["ssn"] == "19811218-****"
    assert found.content["guarantors"] == [{"ssn": "19900101-****"}]
    assert found.content["personal_id"] == "811218-****"
    assert found.content["mortgage_amount"] == 1.5
    assert found.digests.keys() == found.content.keys()


def test_digests_differ_for_values_that_masking_makes_equal() -> None:
    one, other = event(APPLICATION | {"ssn": "19811218-9876"}), event(APPLICATION | {"ssn": "19811218-0000"})
    assert one.content["ssn"] == other.content["ssn"]
    assert one.digests["ssn"] != other.digests["ssn"]


def test_projection_row_holds_unknown_keys_in_extra() -> None:
    found = event(APPLICATION | {"company_revenue": -1.0, "company_name": "blank", "attachments": ["a"]})
    assert found.projection is not None
    row = found.projection.row(found.content)
    assert row["company_revenue"] is None
    assert row["company_name"] is None
    assert row["amount"] == 500000
    assert row["guarantor_count"] == 1
    assert row["extra"] == {"attachments": ["a"], "ssn": "19811218-****", "guarantors": [{"ssn": "19900101-****"}]}


def test_validate_of_an_unknown_topic_raises_key_error() -> None:
    with pytest.raises(KeyError):
        KOMPAR.validate(Payload("contracts", {}, APPLICATION))
