"""Several workers, one inbox: every delivery once."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from random import Random
from urllib.parse import urlsplit

import pytest

from app.sandbox import fake_kompar
from app.sandbox.kompar import encrypt
from tests.e2e.deploy.load import HEADERS, PATH
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

TIMES, CLIENTS = 5, 8


@pytest.mark.parametrize("events", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_deliveries_of_one_event_are_stored_once(empty_kvitto: Running, events: int) -> None:
    kvitto = empty_kvitto
    made = [fake_kompar.application(Random(number)) for number in range(events)]
    bodies = [encrypt(document, KEY) for document in made for _ in range(TIMES)]
    assert len(set(bodies)) == len(bodies)  # encrypted each time
    seed = int(os.environ.get("KVITTO_SEED", "1"))
    Random(seed).shuffle(bodies)
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = pool.map(lambda number: list(deliver(kvitto, bodies[number::CLIENTS])), range(CLIENTS))
        receipts = {receipt for found in answers for receipt in found}
    assert len(receipts) == events * TIMES
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "the inbox empty", 120)
    account = kvitto.audit()
    assert account["missing"] == 0
    assert (account["stored"], account["duplicate"], account["dead"]) == (events, events * (TIMES - 1), 0)
    assert {str(row["receipt"]) for row in kvitto.rows("SELECT receipt FROM reporting.deliveries")} == receipts
    amounts = {
        row["application_id"]: row["amount"] for row in kvitto.rows("SELECT * FROM reporting.kompar_applications")
    }
    assert amounts == {document["application_id"]: document["amount"] for document in made}


def deliver(kvitto: Running, bodies: list[bytes]) -> Iterator[str]:
    """Deliver over one connection; yield the receipts."""
    connection = HTTPConnection(urlsplit(kvitto.ingest).netloc, timeout=60)
    for body in bodies:
        connection.request("POST", PATH, body, HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        yield json.loads(text)["receipt"]
    connection.close()
