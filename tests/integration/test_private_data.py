"""Whatever national id is delivered, in whatever form: no table, log, metric, page or explanation shows it."""

import base64
import html
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from redis import Redis
from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.processing.explain import Explainer
from app.processing.processor import DeliveryProcessor
from app.providers.base import Provider
from app.providers.kompar.events import Kompar
from app.providers.solaris.events import Solaris
from app.sandbox.kompar import encrypt
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from config.environment import Environment
from config.logging import JsonFormatter
from tests.support.console_client import Person, log_in
from tests.support.national_ids import Spelling, contents
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

KEY = b"k" * 32
SEALS = SealingKeys((("a", KEY),))
PROVIDERS: dict[str, Provider] = {
    "kompar": Kompar((("a", KEY),), Fingerprints(KEY)),
    "solaris": Solaris(Fingerprints(KEY)),
}
TOPICS = (
    ("kompar", "applications"),
    ("kompar", "decisions"),
    ("solaris", "FREELANCER_CREDIT_LINE_APPLICATION"),
    ("solaris", "INCOMING_REJECTED_TRANSACTION"),
    ("solaris", "NEVER_DESCRIBED"),
)


@pytest.fixture
def consumers(redis: Redis, database: str, tmp_path: Path) -> Iterator[list[InboxConsumer]]:
    """A worker's consumer of each provider."""
    slot = ConsumerSlot(tmp_path)
    ledgers = {name: Ledger(database, name) for name in PROVIDERS}
    made = []
    for name, provider in PROVIDERS.items():
        processor = BatchProcessor(DeliveryProcessor(SEALS, provider), ledgers[name])
        canaries = CanaryConsumer(Inbox(redis, f"canary/{name}"), ledgers[name], SEALS, name)
        made.append(InboxConsumer(Inbox(redis, name), processor, slot, lambda: None, canaries))
    yield made
    for ledger in ledgers.values():
        ledger.close()
    slot.release()


def bodies(number: int, content: dict[str, Any]) -> Iterator[tuple[str, str, bytes]]:
    """Yield provider, topic and body of deliveries of the content: plain, encrypted, and those that become dead."""
    identified = {"application_id": f"n-{number}", "id": f"n-{number}"} | content
    plain = json.dumps(identified, ensure_ascii=False).encode()
    for provider, topic in TOPICS:
        yield provider, topic, plain
    yield "kompar", "applications", encrypt(identified, KEY.decode())
    yield "kompar", "applications", encrypt(content | {"application_id": None}, KEY.decode())
    yield "kompar", "applications", encrypt(identified | {"nul": "\0"}, KEY.decode())
    yield "kompar", "applications", plain[:-1]
    yield "solaris", "FREELANCER_CREDIT_LINE_APPLICATION", json.dumps(content | {"offered_limit": content}).encode()


def texts(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield name and text of every column of every table and view, except sealed bodies, which are bytes."""
    query = """
        SELECT table_schema, table_name, column_name FROM information_schema.columns
        WHERE table_schema IN ('kvitto', 'reporting') AND data_type <> 'bytea'
    """
    for schema, table, column in connection.execute(query).fetchall():
        (row,) = connection.execute(f"SELECT string_agg(\"{column}\"::text, ' ') AS it FROM {schema}.{table}")
        yield f"{schema}.{table}.{column}", row.it or ""


def pages(person: Person) -> Iterator[tuple[str, str]]:
    """Yield the pages that a person comes to by following the links of the console."""
    found, seen = ["/", "/deliveries"], set[str]()
    while found and len(seen) < 60:
        path = found.pop()
        text = person.get(path)
        seen.add(path)
        yield f"page {path}", text
        links = (html.unescape(link) for link in re.findall(r'href="(/[^"#]*)"', text))
        found += {link for link in links if not link.startswith("/static")} - seen - set(found)


def shown(database: str, connection: Connection, logs: list[logging.LogRecord]) -> Iterator[tuple[str, str]]:
    """Yield everything that Kvitto shows, by where it is."""
    yield from texts(connection)
    yield "logs", " ".join(map(JsonFormatter().format, logs)) + " ".join(record.getMessage() for record in logs)
    yield "metrics", generate_latest().decode()
    yield from pages(log_in(database))
    encoded = base64.b64encode(KEY).decode()
    environment = Environment(
        {
            "DATABASE_URL": database, "REDIS_URL": "redis://127.0.0.1:1/0", "PROVIDERS": "kompar,solaris",
            "SEALING_KEYS": f"a={encoded}", "FINGERPRINT_KEY": encoded, "KOMPAR_KEYS": f"a={KEY.decode()}",
        }
    )  # fmt: skip
    for row in connection.execute("SELECT receipt FROM receipts ORDER BY md5(receipt::text) LIMIT 40").fetchall():
        yield "explanations", str(list(Explainer(environment, connection).receipt(row.receipt)))


@settings(
    max_examples=2,  # the first is the simplest: the same id again and again
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sent=st.lists(contents(), min_size=40, max_size=40))
def test_no_spelling_of_a_national_id_is_outside_the_sealed_bodies(
    consumers: list[InboxConsumer],
    database: str,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
    sent: list[tuple[Spelling, dict[str, Any]]],
) -> None:
    caplog.set_level(logging.DEBUG)
    appended = 0
    for number, (_, content) in enumerate(sent):
        for provider, topic, body in bodies(number, content):
            receipt = uuid7()
            delivery = Delivery(receipt, provider, topic, {}, SEALS.seal(receipt, body))
            (inbox,) = (consumer.inbox for consumer in consumers if consumer.inbox.provider == provider)
            inbox.append(delivery)
            appended += 1
    for consumer in consumers:
        consumer.drain()
    (count,) = connection.execute("SELECT count(*) AS it FROM receipts")
    assert count.it >= appended
    found = list(shown(database, connection, caplog.records))
    assert {name for name, text in found if "-****" in text} >= {"kvitto.events.content", "reporting.events.content"}
    # A short number may be part of any longer one.
    spellings = [spelling for spelling, _ in sent if len(str(spelling.value)) > 8]
    assert {(name, spelling.value) for name, text in found for spelling in spellings if spelling.is_in(text)} == set()
