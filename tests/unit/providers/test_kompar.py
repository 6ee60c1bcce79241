"""Kompar's bodies: opened, validated, identified."""

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
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
    if expected.get("outcome") == "dead":
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
    assert open_body(encrypt(dict(APPLICATION), KEY), KEYS) == ((APPLICATION, frozenset()), "sample")


WHOLE: dict[str, str] = json.loads(encrypt(dict(APPLICATION), KEY))
DATA, IV = base64.b64decode(WHOLE["data"]), base64.b64decode(WHOLE["iv"])


def sealed(plaintext: bytes, key: str = KEY) -> bytes:
    """Return an envelope of any bytes, encrypted independently of the receiver."""
    iv = b"0123456789abcdef"
    padded = plaintext + bytes([16 - len(plaintext) % 16]) * (16 - len(plaintext) % 16)
    encryptor = Cipher(AES(key.encode()), CBC(iv)).encryptor()
    data = encryptor.update(padded) + encryptor.finalize()
    iv_text = base64.b64encode(bytes.fromhex(iv.decode())).decode()
    return json.dumps({"data": base64.b64encode(data).decode(), "iv": iv_text}).encode()


def failure(body: bytes) -> str:
    with pytest.raises(InvalidDeliveryError) as caught:
        open_body(body, KEYS)
    return str(caught.value)


@pytest.mark.parametrize(
    "spelled",
    [
        {"data": base64.encodebytes(DATA).decode()},
        {"data": f"\r\n {WHOLE['data']}\t", "iv": f" {WHOLE['iv']}\n"},
        {"data": base64.urlsafe_b64encode(DATA).decode().rstrip("="), "iv": base64.urlsafe_b64encode(IV).decode()},
        {"data": WHOLE["data"].rstrip("="), "iv": WHOLE["iv"].rstrip("=")},
        {"data": base64.b64encode(WHOLE["data"].encode()).decode()},
        {"iv": base64.b64encode(WHOLE["iv"].encode()).decode()},
        {"data": DATA.hex(), "iv": IV.hex()},
        {"iv": IV.hex().encode().hex()},
        {"iv": base64.b64encode(IV.hex().encode()).decode()},
        {"data": base64.b64encode(b"Salted__" + b"12345678" + DATA).decode()},
    ],
)
def test_open_body_reads_an_envelope_in_every_form_that_senders_use(spelled: dict[str, str]) -> None:
    (content, _), opened_by = open_body(json.dumps(WHOLE | spelled).encode(), KEYS)
    assert (content, opened_by) == (APPLICATION, "sample")


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        ({"data": "%%%"}, "data is neither base64 nor hexadecimal of some bytes"),
        ({"data": ""}, "data is neither base64 nor hexadecimal of some bytes"),
        (
            {"data": base64.b64encode(DATA[:-1]).decode()},
            f"data looks like base64 of {len(DATA) - 1} bytes, not whole blocks of 16",
        ),
        ({"iv": "zzzz"}, "iv looks like base64 of 3 bytes, not 8 or 16"),
        ({"iv": IV.hex()[:-2]}, "iv looks like hexadecimal of 7 bytes, not 8 or 16"),
        (
            {"data": base64.b64encode(WHOLE["data"].encode()[:-8]).decode()},
            "data looks like base64 of base64",
        ),
        ({"iv": "?"}, "iv is neither base64 nor hexadecimal"),
        (
            {"data": base64.b64encode(b"Salted__" + b"12345678" + b"x" * 32).decode()},
            "data is salted as OpenSSL does it",
        ),
    ],
)
def test_open_body_says_what_is_wrong_with_a_bad_envelope(broken: dict[str, str], detail: str) -> None:
    assert re.fullmatch(f"bad-envelope: {detail}.*", failure(json.dumps(WHOLE | broken).encode()))


@pytest.mark.parametrize(
    "body",
    [
        encrypt(dict(APPLICATION), "w" * 32),
        json.dumps(WHOLE | {"data": base64.b64encode(DATA[:-16]).decode()}).encode(),
    ],
)
def test_open_body_under_no_key_is_wrong_key(body: bytes) -> None:
    assert failure(body) == "wrong-key: no key of KOMPAR_KEYS opens it"


@pytest.mark.parametrize(
    ("data", "iv"),
    [
        ("bejeVsZNMW3MUSxMMsvztpqLCWOmOFRs/4p7NNqP5Bup0myzI6cLPVtdvIbCOkM5", "FyybXDEdX+w="),  # begins with {"
        ("fOL4r4JurNym2DSpn8XJvB3Ch7jXmM0Ku2qcwlja4uzHk4rAjUEe6hr34HFqkt2f", "mo8fQgRsvME="),  # as UTF-16 would
    ],
)
def test_open_body_tries_every_key_where_a_wrong_one_yields_what_begins_like_json(data: str, iv: str) -> None:
    """One body in a million: the first of two keys pads it rightly, and its random bytes look like a text."""
    (content, _), opened_by = open_body(json.dumps({"data": data, "iv": iv}).encode(), KEYS)
    assert (content, opened_by) == ({"application_id": "a", "accepted": True}, "sample")


def test_open_body_skips_a_byte_order_mark() -> None:
    (content, _), _ = open_body(sealed(b'\xef\xbb\xbf{"application_id": "a"}'), KEYS)
    assert content == {"application_id": "a"}


@pytest.mark.parametrize(
    ("plaintext", "detail"),
    [
        (b'{"name": "Bj\xf6rn"}', "not UTF-8: it may be Latin-1 or Windows-1252"),
        ('{"name": "Björn"}'.encode("utf-16"), "not UTF-8: it looks like UTF-16"),
        (b'{"company_revenue": NaN}', "not a JSON text: it holds NaN"),
        (b'{"company_revenue": -Infinity}', "not a JSON text: it holds -Infinity"),
        (b'{"application_id": "cut', "not a JSON text: Unterminated string"),
        (b"hello", "not a JSON text: Expecting value"),
        (b"", "not a JSON text: Expecting value"),
        (b'"text"', "not a JSON object"),
        (b"[1]", "not a JSON object"),
    ],
)
def test_open_body_of_a_plaintext_that_is_no_json_names_the_key_that_opened_it(plaintext: bytes, detail: str) -> None:
    found = failure(sealed(plaintext))
    assert found.startswith(f"not-json: {detail}")
    assert found.endswith("(opened with key sample)")


def test_open_body_of_unstorable_content_names_the_key_that_opened_it() -> None:
    assert failure(sealed(rb'{"a": "\u0000"}')) == (
        "invalid: a text holds U+0000 or a lone surrogate (opened with key sample)"
    )


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), st.sampled_from([16, 160]))
def test_open_body_never_takes_random_bytes_for_text(block: bytes, key: bytes, size: int) -> None:
    body = json.dumps({"data": base64.b64encode(block * (size // 16)).decode(), "iv": "AAAAAAAAAAA="}).encode()
    with pytest.raises(InvalidDeliveryError) as caught:
        open_body(body, [("random", key)])
    assert caught.value.reason == "wrong-key"


@pytest.mark.parametrize(
    "content",
    [
        {"application_id": "a", "accepted": True, "data": {"phone": "070"}},
        {"application_id": "a", "data": "AAAA", "iv": "AAAA"},
        {"data": None, "iv": "AAAA"},
        {"data": "AAAA"},
        {"iv": "AAAA"},
        {"data": ["AAAA"], "iv": 7},
    ],
)
def test_open_body_without_both_texts_or_with_an_application_id_is_plain(content: dict[str, Any]) -> None:
    assert open_body(json.dumps(content).encode(), KEYS) == ((content, frozenset()), None)


@pytest.mark.parametrize("absent", [{}, {"application_id": None}, {"application_id": " "}, {"application_id": ["a"]}])
def test_without_an_application_id_there_is_no_entity(absent: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        event({key: value for key, value in APPLICATION.items() if key != "application_id"} | absent)
    assert caught.value.reason == "missing-id"


@pytest.mark.parametrize("key", sorted(APPLICATION.keys() - {"application_id"}))
def test_other_keys_may_be_null_or_missing(key: str) -> None:
    assert event(APPLICATION | {key: None}).content[key] is None
    assert key not in event({name: value for name, value in APPLICATION.items() if name != key}).content


def test_an_application_id_that_is_a_whole_number_is_the_same_as_text() -> None:
    assert event({"application_id": 7}).entity == event({"application_id": "7"}).entity


def test_an_application_id_that_is_a_national_id_is_stored_as_a_digest() -> None:
    found = event({"application_id": "811218-9876"})
    assert "811218" not in found.entity.entity_id
    assert found.entity == event({"application_id": "811218-9876", "amount": 1}).entity
    assert found.entity != event({"application_id": "811218-9884"}).entity


@pytest.mark.parametrize(
    ("wrong", "misfits"),
    [
        ({"amount": "half a million"}, ["amount"]),
        ({"amount": 500000.5, "duration": "long"}, ["amount", "duration"]),
        ({"company_revenue": "much"}, ["company_revenue"]),
        ({"guarantors": "two"}, ["guarantors"]),
        ({"guarantors": [{"ssn": ["7"]}]}, ["guarantors"]),
        ({"name": ["a"]}, ["name"]),
        ({"amount": 8112189876}, ["amount"]),
    ],
)
def test_a_field_of_a_wrong_type_is_stored_flagged_and_its_column_is_null(
    wrong: dict[str, Any], misfits: list[str]
) -> None:
    found = event(APPLICATION | wrong)
    assert all_flags(found.field_flags) == [f"invalid-{key}" for key in misfits]
    assert found.projection is not None
    row = found.projection.row(found.content)
    assert [row.get(key) for key in misfits] == [None] * len(misfits)
    assert row["purpose"] == "Inköp av maskiner"
    assert {key: row["extra"][key] for key in misfits} == {key: found.content[key] for key in misfits}


@pytest.mark.parametrize("amount", ["500000", "500 000", "500\u00a0000", 500000.0])
def test_a_lossless_spelling_is_converted_and_not_flagged(amount: object) -> None:
    found = event(APPLICATION | {"amount": amount, "company_id": 5560360793})
    assert all_flags(found.field_flags) == []
    assert found.content["company_id"] == 5560360793
    assert found.projection is not None
    row = found.projection.row(found.content)
    assert (row["amount"], row["company_id"]) == (500000, "556036-0793")


@pytest.mark.parametrize(
    ("sent", "column"),
    [
        ({"purpose": "O\u0308vrigt"}, "Övrigt"),
        ({"purpose": " inköp  av LAGER "}, "Inköp av lager"),
        ({"purpose": "Ko\u0308pa en båt"}, "Köpa en båt"),
        ({"company_id": "5560360793"}, "556036-0793"),
        ({"company_id": "165560360793"}, "556036-0793"),
        ({"company_id": "SE556036079301"}, "556036-0793"),
        ({"company_id": "168112189876"}, "811218-****"),
        ({"company_id": "19811218-9876"}, "811218-****"),
        ({"company_id": "unknown"}, "unknown"),
        ({"company_type": "ab"}, "AB"),
        ({"company_type": "Aktiebolag "}, "AB"),
        ({"company_type": "Enskild firma"}, "EF"),
        ({"company_type": "Stiftelse"}, "Stiftelse"),
        ({"company_name": "A\u030akeri AB"}, "Åkeri AB"),
    ],
)
def test_columns_hold_one_normal_form_and_content_what_was_sent(sent: dict[str, str], column: str) -> None:
    found = event(APPLICATION | sent)
    assert found.projection is not None
    ((key, value),) = sent.items()
    assert found.projection.row(found.content)[key] == column
    if "*" not in column:
        assert found.content[key] == value


@pytest.mark.parametrize(
    ("accepted", "column", "flags"),
    [
        (True, True, []), ("true", True, []), (0, False, []), (None, None, []), ("blank", None, []),
        ("kanske", None, ["invalid-accepted"]), (["true"], None, ["invalid-accepted"]),
        ({}, None, ["invalid-accepted"]),
    ],
)  # fmt: skip
def test_a_decision_that_is_no_plain_yes_or_no_is_stored_and_flagged(
    accepted: object, column: bool | None, flags: list[str]
) -> None:
    found = event({"application_id": "a", "accepted": accepted}, "decisions")
    assert found.projection is not None
    assert (found.projection.row(found.content)["accepted"], all_flags(found.field_flags)) == (column, flags)
    assert found.content["accepted"] == accepted


def test_both_forms_of_unicode_are_the_same_content() -> None:
    assert (
        event(APPLICATION | {"purpose": "O\u0308vrigt"}).digests == event(APPLICATION | {"purpose": "Övrigt"}).digests
    )


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ({}, []),
        ({"company_id": "165560360793"}, []),
        ({"company_id": "SE556036079301"}, []),
        ({"company_id": "811218-9876-001"}, []),
        ({"guarantors": [{"ssn": 7}, None]}, ["ssn-checksum"]),
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


@pytest.mark.parametrize("value", [5560360794, 1.5, True, ["a"], {"a": 1}])
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
    assert row["attachments"] == ["a"]
    assert row["extra"] == {"ssn": "19811218-****", "guarantors": [{"ssn": "19900101-****"}]}


def test_validate_of_an_unknown_topic_raises_key_error() -> None:
    with pytest.raises(KeyError):
        KOMPAR.validate(Payload("contracts", {}, APPLICATION))
