"""What processing adds to every provider's own rules."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.event import Event
from app.errors import InvalidDeliveryError
from app.processing.processor import DeliveryProcessor
from app.providers.base import Provider
from app.providers.kompar.events import Kompar
from app.providers.solaris.events import Solaris
from app.sandbox.kompar import encrypt

KEY = b"k" * 32
SEALS = SealingKeys((("a", KEY),))
PROVIDERS: dict[str, Provider] = {
    "kompar": Kompar((("a", KEY),), Fingerprints(KEY)),
    "solaris": Solaris(Fingerprints(KEY)),
}
RECEIPT = UUID(int=1)


def process(provider: str, topic: str, body: bytes, seals: SealingKeys = SEALS) -> Event | InvalidDeliveryError:
    delivery = Delivery(RECEIPT, provider, topic, {}, seals.seal(RECEIPT, body))
    received = ReceivedDelivery(delivery, datetime(2026, 11, 22, tzinfo=UTC), UUID(int=2), StreamId(1, 0))
    return DeliveryProcessor(SEALS, PROVIDERS[provider]).process(received).result


@pytest.mark.parametrize(
    ("provider", "topic"),
    [("kompar", "decisions"), ("solaris", "FREELANCER_CREDIT_LINE_APPLICATION"), ("solaris", "ANY")],
)
def test_process_flags_duplicate_keys_of_every_provider_and_the_last_value_counts(provider: str, topic: str) -> None:
    event = process(provider, topic, b'{"application_id": "a", "id": "a", "accepted": false, "accepted": true}')
    assert isinstance(event, Event)
    assert event.field_flags["accepted"] == ["duplicate-key"]
    assert event.content["accepted"] is True


def test_process_keeps_the_other_flags_of_a_key_with_duplicates() -> None:
    event = process("kompar", "applications", b'{"application_id": "a", "purpose": 1, "purpose": "x"}')
    assert isinstance(event, Event)
    assert event.field_flags == {"purpose": ["unknown-purpose", "duplicate-key"]}


def test_process_shows_no_national_id_that_is_a_key_with_duplicates() -> None:
    event = process("kompar", "decisions", b'{"application_id": "a", "811218-9876": 1, "811218-9876": 2}')
    assert isinstance(event, Event)
    assert event.field_flags == {"811218-****": ["duplicate-key"]}


def test_process_flags_duplicate_keys_of_an_envelope() -> None:
    envelope = encrypt({"application_id": "a"}, KEY.decode())
    event = process("kompar", "decisions", b'{"data": "x", ' + envelope.strip()[1:])
    assert isinstance(event, Event)
    assert event.field_flags == {"data": ["duplicate-key"]}


def test_process_of_an_invalid_delivery_names_the_key_that_opened_it() -> None:
    result = process("kompar", "decisions", encrypt({"accepted": True}, KEY.decode()))
    assert isinstance(result, InvalidDeliveryError)
    assert result.reason == "missing-id"
    assert result.detail.endswith("(opened with key a)")
    assert result.key_ids == ("a",)
    plain = process("kompar", "decisions", json.dumps({"accepted": True}).encode())
    assert "opened" not in str(plain)


def test_process_of_a_delivery_that_no_key_opens_names_the_keys_that_failed() -> None:
    result = process("kompar", "decisions", encrypt({"application_id": "a"}, "u" * 32))
    assert isinstance(result, InvalidDeliveryError)
    assert (result.reason, result.key_ids) == ("wrong-key", ("a",))


def test_process_of_a_delivery_finds_what_no_schema_declares_and_ignores_no_value() -> None:
    content = {"application_id": "a", "company_type": "AB", "amount": "-1", "purpose": -1, "color": "red"}
    result = process("kompar", "applications", json.dumps(content).encode())
    assert isinstance(result, Event)
    assert result.undeclared == (("key", "color", "string", ""),)
    usual = process("kompar", "applications", json.dumps({"application_id": "a", "amount": -1}).encode())
    assert isinstance(usual, Event)
    assert usual.undeclared == ()


def test_process_of_a_seal_without_its_key_names_the_key() -> None:
    result = process("kompar", "decisions", b"{}", SealingKeys((("lost", b"l" * 32),)))
    assert str(result) == "wrong-key: sealed with key lost, which SEALING_KEYS lacks"
