"""Kompar's rules of delivery: every attempt is newly encrypted and carries the token, until the answer is 200."""

import base64
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.sandbox.hooks import Event, FinalStatus, Hook, OutgoingRequest

TOPICS = ("applications", "decisions")
# Seconds between a failed attempt and the next: five attempts in all.
SCHEDULE = (30.0, 120.0, 900.0, 3600.0)
# What the retry of a decision may lack.
_OPTIONAL = frozenset({"ssn", "name", "phone", "email", "files"})


def encrypt(document: Mapping[str, object], key: str) -> bytes:
    """Return the body of a delivery; the key is a text of 32 characters.

    The IV is 16 hexadecimal characters used as text. On the wire it is base64 of the 8 bytes that they encode.
    """
    iv_bytes = os.urandom(8)
    padder = padding.PKCS7(128).padder()
    plain = padder.update(json.dumps(dict(document), ensure_ascii=False).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(iv_bytes.hex().encode())).encryptor()
    data = encryptor.update(plain) + encryptor.finalize()
    envelope = {"data": base64.b64encode(data).decode(), "iv": base64.b64encode(iv_bytes).decode()}
    return json.dumps(envelope).encode()


@dataclass(frozen=True, slots=True)
class KomparHook(Hook):
    """Where Kompar sends applications or decisions; without a key they are sent in clear, as decisions may be."""

    provider: ClassVar[str] = "kompar"
    token: str = field(repr=False)
    key: str | None = field(repr=False)
    waits: Sequence[float] = field(default=SCHEDULE, kw_only=True)
    timeout_seconds: float = field(default=10.0, kw_only=True)

    def request(self, event: Event, attempt: int, fault: str | None) -> OutgoingRequest:
        """Build the request of one attempt."""
        document = event.document
        if fault == "fewer-fields" and attempt > 1:
            document = {name: value for name, value in document.items() if name not in _OPTIONAL}
        token = f"not-{self.token}" if fault == "wrong-token" else self.token
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        if fault == "wrong-key":
            return OutgoingRequest(headers, encrypt(document, secrets.token_hex(16)), ("dead",))
        clear = json.dumps(dict(document), ensure_ascii=False).encode()
        content = clear if self.key is None else encrypt(document, self.key)
        return OutgoingRequest(headers, content, () if fault == "wrong-token" else ("stored", "duplicate"))

    def final_status(self, status: int) -> FinalStatus | None:
        """Return "delivered" for 200; Kompar tries again after any other answer."""
        return "delivered" if status == 200 else None

    def corrected(self, event: Event) -> Event:
        """Return the same application with another amount, or the opposite decision."""
        document = dict(event.document)
        if self.topic == "applications":
            changed: dict[str, object] = {"amount": 750_000 if document.get("amount") != 750_000 else 760_000}
        else:
            changed = {"accepted": not document.get("accepted")}
        return replace(event, id=f"{event.id}-corrected", document=document | changed)
