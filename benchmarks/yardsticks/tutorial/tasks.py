"""The tutorial's task: decrypts, validates, inserts and commits one event; acknowledged late, so a crash repeats it."""

import os
from functools import cache
from typing import Any

import psycopg
from celery import Celery
from psycopg.types.json import Jsonb

from app.providers.kompar.envelope import open_body
from app.providers.kompar.schemas import Application

celery = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER_URL"])
celery.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True)
_KEYS = [("tutorial", os.environ["TUTORIAL_KEY"].encode())]
_SCHEMA = Application()


@cache
def _connection() -> psycopg.Connection[Any]:
    """Return this process's connection, made at first use: after the fork."""
    return psycopg.connect(os.environ["TUTORIAL_DATABASE_URL"])


@celery.task(name="store")
def store(body: str, received_at: float) -> None:
    """Store an application unless it is known."""
    content, _ = open_body(body.encode(), _KEYS)
    _SCHEMA.load(content)
    with _connection().transaction():
        _connection().execute(
            """
            INSERT INTO applications (application_id, content, received_at) VALUES (%s, %s, to_timestamp(%s))
            ON CONFLICT (application_id) DO NOTHING
            """,
            [content["application_id"], Jsonb(content), received_at],
        )
