"""Solaris' requests and events."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.crypto.digests import Fingerprints
from app.domain.delivery import Payload
from app.domain.event import Event, all_flags
from app.errors import AuthenticationError, InvalidDeliveryError
from app.providers.base import kept_headers
from app.providers.solaris.authentication import SolarisAuthentication
from app.providers.solaris.events import Solaris
from tests.support.providers.solaris_fixtures import CREDIT_LINE, SECRETS, request
from tests.unit.providers.test_contract import Request

SOLARIS = Solaris(Fingerprints(b"k" * 32))
RATE = "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE"
REJECTION = "INCOMING_REJECTED_TRANSACTION"
EURO = {"value": 100, "unit": "cents", "currency": "EUR"}


def event(event_type: str, content: dict[str, Any], **headers: str) -> Event:
    kept = {"Solaris-Entity-Id": "entity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return SOLARIS.validate(SOLARIS.open(event_type, kept, json.dumps(content).encode()))


def handshake(body: bytes = b"") -> Request:
    sample = request("handshake", {})
    made = Request(sample)
    made.body = body
    made.headers = {"solaris-webhook-event-type": "WEBHOOK-SUBSCRIPTION"}
    return made


def test_any_of_an_event_types_secrets_is_accepted_and_named_without_its_value() -> None:
    both = SolarisAuthentication(((CREDIT_LINE, "old"), (CREDIT_LINE, "new")))
    authentic = both.authenticate(Request(request("new", {"id": "a"}, secret="new")))
    assert authentic is not None
    assert (authentic.topic, authentic.credential) == (CREDIT_LINE, f"secret 2 of 2 for {CREDIT_LINE}")


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_hexadecimal_of_any_case_is_accepted(change: Any) -> None:
    made = Request(request("a", {"id": "a"}))
    made.headers["solaris-webhook-signature"] = change(made.headers["solaris-webhook-signature"])
    assert SolarisAuthentication(tuple(SECRETS.items())).authenticate(made) is not None


@pytest.mark.parametrize("signature", ["", "sha256=", "sha1=00", "00" * 32, "sha256=\xff"])
def test_wrong_signature_is_rejected(signature: str) -> None:
    made = Request(request("a", {"id": "a"}))
    made.headers["solaris-webhook-signature"] = signature
    with pytest.raises(AuthenticationError):
        SolarisAuthentication(tuple(SECRETS.items())).authenticate(made)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b"[]", b"null", b'""', b"{}\n", b"{ }", b"[\n]"])
@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_a_handshake_whose_body_says_nothing_is_accepted(body: bytes, change: Any) -> None:
    made = handshake(body)
    made.headers = {name: change(value) for name, value in made.headers.items()}
    assert SolarisAuthentication(tuple(SECRETS.items())).authenticate(made) is None


@pytest.mark.parametrize("body", [b'{"id": 1}', b"0", b"x", b"[[]]", b"{}{}"])
def test_a_handshake_with_content_is_rejected(body: bytes) -> None:
    with pytest.raises(AuthenticationError):
        SolarisAuthentication(tuple(SECRETS.items())).authenticate(handshake(body))


def test_an_unconfigured_event_type_with_digits_is_named() -> None:
    made = Request(request("a", {"id": "a"}))
    made.headers["solaris-webhook-event-type"] = "CARD_AUTHORIZATION_DECLINE_V2"
    with pytest.raises(AuthenticationError) as caught:
        SolarisAuthentication(tuple(SECRETS.items())).authenticate(made)
    assert caught.value.detail == "CARD_AUTHORIZATION_DECLINE_V2"


def test_the_callout_timestamp_is_kept() -> None:
    solaris = SolarisAuthentication(tuple(SECRETS.items()))
    made = Request(request("a", {"id": "a"}))
    made.headers["solaris-webhook-callout-timestamp"] = "2026-11-28T12:00:00Z"
    assert kept_headers(solaris, made)["Solaris-Webhook-Callout-Timestamp"] == "2026-11-28T12:00:00Z"


def test_a_retry_within_seven_days_is_recognised() -> None:
    schedule = event(CREDIT_LINE, {"id": "a"}).schedule
    assert schedule.fits(timedelta(days=7))
    assert not schedule.fits(timedelta(days=7, seconds=1))


def test_handshakes_are_sixty_a_minute() -> None:
    now = 1000.0
    solaris = SolarisAuthentication(tuple(SECRETS.items()), clock=lambda: now)
    for _ in range(60):
        assert solaris.authenticate(handshake()) is None
    with pytest.raises(AuthenticationError):
        solaris.authenticate(handshake())
    now += 60
    assert solaris.authenticate(handshake()) is None


@pytest.mark.parametrize("name", ["evil\nname", "x" * 200, "lower"])
def test_malformed_event_type_is_not_repeated_in_the_error(name: str) -> None:
    made = Request(request("a", {"id": "a"}))
    made.headers["solaris-webhook-event-type"] = name
    with pytest.raises(AuthenticationError) as caught:
        SolarisAuthentication(tuple(SECRETS.items())).authenticate(made)
    assert name not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ({}, []),
        ({"status": "offered", "decision": "OFFERED", "recipient_iban": "DE89370400440532013000"}, []),
        ({"status": "credit_line_created"}, []),
        ({"status": "unheard_of"}, ["unknown-status"]),
        ({"decision": "ON_HOLD"}, ["unknown-decision"]),
        ({"recipient_iban": "DE00"}, ["iban-checksum"]),
        ({"offered_limit": EURO, "net_disposable_income": None}, []),
        ({"offered_limit": EURO | {"currency": "SEK"}}, ["unknown-currency"]),
        ({"offered_limit": EURO | {"unit": "euros"}}, ["unknown-unit"]),
    ],
)
def test_credit_lines_are_flagged_not_rejected(content: dict[str, Any], flags: list[str]) -> None:
    assert all_flags(event(CREDIT_LINE, content).field_flags) == flags


@pytest.mark.parametrize(
    ("wrong", "flags"),
    [
        ({"offered_limit": EURO | {"value": "1"}}, []),
        ({"offered_limit": EURO | {"value": "one"}}, ["invalid-offered_limit"]),
        ({"offered_limit": 100}, ["invalid-offered_limit"]),
        ({"offered_interest_rate": "low", "status": ["offered"]}, ["invalid-offered_interest_rate", "invalid-status"]),
        ({"id": 7}, []),
    ],
)
def test_a_credit_line_with_a_wrong_type_is_stored_and_flagged(wrong: dict[str, Any], flags: list[str]) -> None:
    found = event(CREDIT_LINE, {"id": "a"} | wrong)
    assert all_flags(found.field_flags) == flags
    assert found.content == {"id": "a"} | wrong
    assert found.projection is not None
    row = found.projection.row(found.content)
    assert row["extra"] == {key: wrong[key] for key in wrong if f"invalid-{key}" in flags}
    assert row["offered_limit_cents"] == (1 if "offered_limit" in wrong and not flags else None)


def test_a_credit_line_whose_money_lacks_what_solaris_requires_is_invalid() -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        event(CREDIT_LINE, {"offered_limit": {"value": 1}})
    assert caught.value.reason == "invalid"
    assert "offered_limit.currency" in caught.value.detail


def test_an_unreadable_time_is_flagged_and_its_column_is_null() -> None:
    found = event(RATE, {"id": "a", "interest_accrual_rate": "0,05", "effective_from": "soon"})
    assert all_flags(found.field_flags) == ["invalid-effective_from"]
    assert found.projection is not None
    assert found.projection.row(found.content) == {"interest_accrual_rate": 0.05, "effective_from": None}


def test_money_has_columns_of_cents() -> None:
    found = event(CREDIT_LINE, {"id": "a", "offered_limit": EURO, "net_disposable_income": EURO | {"unit": "euros"}})
    assert found.projection is not None
    row = found.projection.row(found.content)
    assert (row["offered_limit_cents"], row["offered_limit_currency"]) == (100, "EUR")
    assert (row["net_disposable_income_cents"], row["net_disposable_income_currency"]) == (None, "EUR")
    assert row["extra"] == {}


@pytest.mark.parametrize(
    "time",
    ["2019-08-24T14:15:22Z", "2019-08-24T18:18:28.000Z", "2019-08-24T13:34:27+00:00", "2026-11-20T11:20:16.840208Z"],
)
def test_times_of_every_shape_are_read(time: str) -> None:
    found = event(RATE, {"id": "a", "interest_accrual_rate": 0.1, "effective_from": time})
    assert found.projection is not None
    assert found.content["effective_from"] == time
    assert found.projection.row(found.content)["effective_from"].endswith("+00:00")


@pytest.mark.parametrize("missing", ["id", "interest_accrual_rate", "effective_from"])
def test_overdraft_rate_requires_every_key(missing: str) -> None:
    content = {"id": "a", "interest_accrual_rate": 0.1, "effective_from": "2019-08-24T14:15:22Z"}
    with pytest.raises(InvalidDeliveryError):
        event(RATE, {key: value for key, value in content.items() if key != missing})


@pytest.mark.parametrize("content", [{"rejection_reason": "x"}, {"status": {"code": 7}}, {}])
def test_rejections_of_the_unpublished_shape_are_kept_whole(content: dict[str, Any]) -> None:
    found = event(REJECTION, content)
    assert all_flags(found.field_flags) == ["no-schema"]
    assert found.projection is not None
    assert found.projection.row(found.content)["extra"] == content


def test_an_event_type_that_is_not_known_is_kept_whole() -> None:
    found = event("NEW_KIND_OF_EVENT", {"id": "a", "deep": [1]})
    assert all_flags(found.field_flags) == ["no-schema"]
    assert found.projection is None
    assert found.entity == ("solaris", "NEW_KIND_OF_EVENT", "a")


@pytest.mark.parametrize(
    ("content", "headers", "entity_id"),
    [
        ({"id": "body"}, {"Solaris_Entity_Id": "header", "Solaris_Webhook_Id": "wh"}, "body"),
        ({}, {"Solaris_Entity_Id": "header", "Solaris_Webhook_Id": "wh"}, "header"),
        ({"id": " "}, {"Solaris_Entity_Id": "", "Solaris_Webhook_Id": "wh"}, "wh"),
    ],
)
def test_entity_id_comes_from_body_then_headers(
    content: dict[str, Any], headers: dict[str, str], entity_id: str
) -> None:
    assert event(REJECTION, content, **headers).entity.entity_id == entity_id


def test_a_national_id_as_an_id_is_stored_as_a_digest() -> None:
    found = event(REJECTION, {"id": "19811218-9876", "status": "x"}, Solaris_Webhook_Id="811218-9876")
    assert "9876" not in f"{found.entity.entity_id} {found.content}"
    assert "811218" not in str(found.provider_event_id)


def test_event_without_any_id_is_missing_id() -> None:
    with pytest.raises(InvalidDeliveryError) as caught:
        SOLARIS.validate(Payload(REJECTION, {}, {"status": "RETURNED"}))
    assert caught.value.reason == "missing-id"
