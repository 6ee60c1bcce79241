"""Kompar's side of a delivery: encrypts, sends with the token, and sends again until it is answered 200."""

import base64
import json
import os
import time
from collections.abc import Mapping

import click
import httpx
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.sandbox.answers import Answer

# Seconds between one failed try and the next: five tries in all.
SCHEDULE = (30.0, 120.0, 900.0, 3600.0)


def encrypt(document: Mapping[str, object], key: str) -> bytes:
    """Return the body of a delivery; the key is a text of 32 characters.

    The IV is 16 hexadecimal characters used as text; on the wire it is base64 of the 8 bytes they spell.
    """
    spelled = os.urandom(8)
    padder = padding.PKCS7(128).padder()
    plain = padder.update(json.dumps(dict(document), ensure_ascii=False).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key.encode()), modes.CBC(spelled.hex().encode())).encryptor()
    data = encryptor.update(plain) + encryptor.finalize()
    envelope = {"data": base64.b64encode(data).decode(), "iv": base64.b64encode(spelled).decode()}
    return json.dumps(envelope).encode()


class Sender:
    """Sends to one receiver. `speed` divides the schedule's waits."""

    def __init__(self, url: str, token: str, key: str, speed: float = 1.0) -> None:
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, timeout=10)
        self._key = key
        self._speed = speed

    def deliver(self, topic: str, document: Mapping[str, object]) -> list[Answer]:
        """Try until a try is answered with exactly 200, encrypting anew each time; return every answer."""
        answers = [self.send(topic, document)]
        for wait in SCHEDULE:
            if answers[-1].status == 200:
                break
            seconds = wait / self._speed
            click.echo(f"answered {answers[-1].status or 'not at all'}; next try in {seconds:.1f} s", err=True)
            time.sleep(seconds)
            answers.append(self.send(topic, document))
        return answers

    def send(self, topic: str, document: Mapping[str, object], key: str | None = None) -> Answer:
        """Make one try."""
        started = time.monotonic()
        body = encrypt(document, key or self._key)
        try:
            answer = self._client.post(
                f"/webhooks/kompar/{topic}", content=body, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError:
            return Answer(0, None, time.monotonic() - started)
        return Answer.of(answer, time.monotonic() - started)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
