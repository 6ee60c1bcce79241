"""Seals, envelopes and digests."""

import os
from uuid import uuid4

import pytest

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.errors import InvalidDeliveryError

OLD, NEW = ("old", os.urandom(32)), ("new", os.urandom(32))


def test_unseal_opens_a_body_under_its_receipt() -> None:
    receipt = uuid4()
    sealed = SealingKeys((NEW,)).seal(receipt, b"body")
    assert b"body" not in sealed
    assert SealingKeys((OLD, NEW)).unseal(receipt, sealed) == b"body"


def test_seal_uses_the_first_key_and_unseal_every_key() -> None:
    receipt = uuid4()
    before = SealingKeys((OLD,)).seal(receipt, b"body")
    rotated = SealingKeys((NEW, OLD))
    assert rotated.unseal(receipt, before) == b"body"
    with pytest.raises(InvalidDeliveryError, match="SEALING_KEYS lacks"):
        SealingKeys((OLD,)).unseal(receipt, rotated.seal(receipt, b"body"))


def test_unseal_fails_for_another_receipt_or_a_changed_byte() -> None:
    receipt, keys = uuid4(), SealingKeys((NEW,))
    sealed = keys.seal(receipt, b"body")
    with pytest.raises(InvalidDeliveryError):
        keys.unseal(uuid4(), sealed)
    for index in range(len(sealed)):
        broken = bytearray(sealed)
        broken[index] ^= 1
        with pytest.raises(InvalidDeliveryError):
            keys.unseal(receipt, bytes(broken))
    for length in range(len(sealed)):
        with pytest.raises(InvalidDeliveryError):
            keys.unseal(receipt, sealed[:length])


def test_digests_depend_on_key_and_value_only() -> None:
    fingerprints = Fingerprints(b"k" * 32)
    first = fingerprints.digests({"a": {"x": 1, "y": [None]}, "b": "1"})
    assert first == fingerprints.digests({"b": "1", "a": {"y": [None], "x": 1}})
    assert first["b"] != fingerprints.digests({"b": 1})["b"]
    assert first != Fingerprints(b"l" * 32).digests({"a": {"x": 1, "y": [None]}, "b": "1"})
