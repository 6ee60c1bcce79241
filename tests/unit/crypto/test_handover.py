"""A text that only one process can open."""

import pytest
from cryptography.exceptions import InvalidTag

from app.crypto import handover
from app.crypto.handover import Recipient


def test_only_the_recipient_opens_a_text_and_only_in_its_context() -> None:
    recipient = Recipient()
    sealed = handover.seal(b"19811218-9876", recipient.public_key, b"request 1")
    assert b"9876" not in sealed
    assert recipient.open(sealed, b"request 1") == b"19811218-9876"
    for other, context in ((recipient, b"request 2"), (Recipient(), b"request 1")):
        with pytest.raises(InvalidTag):
            other.open(sealed, context)
