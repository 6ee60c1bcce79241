"""The tutorial's task: decrypts, validates, inserts and commits one event; acknowledged late, so a crash repeats it."""

import base64
import json
import os
from functools import cache
from typing import Any

import psycopg
from celery import Celery
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from marshmallow import INCLUDE, Schema, fields
from psycopg.types.json import Jsonb

celery = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER_URL"])
celery.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True)
_KEY = os.environ["TUTORIAL_KEY"].encode()


class Application(Schema):
    """A loan application."""

    class Meta:
        """Unknown keys are kept."""

        unknown = INCLUDE

    application_id = fields.String(required=True)
    name = fields.String(allow_none=True)
    company_id = fields.String(allow_none=True)
    company_name = fields.String(allow_none=True)
    company_type = fields.String(allow_none=True)
    company_revenue = fields.Float(allow_none=True)
    company_age = fields.Float(allow_none=True)
    amount = fields.Integer(strict=True, allow_none=True)
    duration = fields.Integer(strict=True, allow_none=True)
    purpose = fields.String(allow_none=True)
    ssn = fields.String(allow_none=True)


_SCHEMA = Application()


@cache
def _connection() -> psycopg.Connection[Any]:
    """Return this process's connection, made at first use: after the fork."""
    return psycopg.connect(os.environ["TUTORIAL_DATABASE_URL"])


@celery.task(name="store")
def store(body: str, received_at: float) -> None:
    """Store an application unless it is known."""
    content = _SCHEMA.load(_opened(json.loads(body)))
    with _connection().transaction():
        _connection().execute(
            """
            INSERT INTO applications (application_id, content, received_at) VALUES (%s, %s, to_timestamp(%s))
            ON CONFLICT (application_id) DO NOTHING
            """,
            [content["application_id"], Jsonb(content), received_at],
        )


def _opened(envelope: dict[str, str]) -> Any:
    """Decrypt; what is sent as IV is base64 of the bytes whose hexadecimal text is the IV."""
    iv = base64.b64decode(envelope["iv"]).hex().encode()
    decryptor, unpadder = Cipher(AES(_KEY), CBC(iv)).decryptor(), PKCS7(128).unpadder()
    padded = decryptor.update(base64.b64decode(envelope["data"])) + decryptor.finalize()
    return json.loads(unpadder.update(padded) + unpadder.finalize())
