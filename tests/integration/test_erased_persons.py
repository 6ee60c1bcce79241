"""A person is found and erased however the national id is spelled, and wherever a delivery about the person is."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery
from app.processing.erasure import erase
from app.processing.holdings import Holdings, Subject
from app.processing.processor import DeliveryProcessor
from app.processing.replay import replay_one
from app.providers.kompar.events import Kompar
from app.sandbox.kompar import encrypt
from app.storage import dead_letters, overflow, receipts, rejected, trace_search
from app.storage.access_log import Access
from app.storage.connection import Connection
from app.storage.erasure import Held
from app.storage.rejected import RejectedRequest
from tests.support.erasing import ACCESS, FINGERPRINTS, KEY, OTHER, PERSON, SEALS, Kvitto, application

# Century, date of birth, serial: of a personnummer, a samordningsnummer, one that begins with zeros, one of somebody
# older than a hundred, and an interim number.
PERSONS = [("19", "811218", "9876"), ("19", "811278", "9873"), ("20", "010203", "1234"), ("19", "121212", "1212"),
           ("19", "811218", "T987")]  # fmt: skip
LATER_KEY = b"n" * 32
NOTHING = Held("kompar", frozenset(), frozenset())


@pytest.fixture
def kvitto(redis: Redis, database: str, connection: Connection, tmp_path: Path) -> Iterator[Kvitto]:
    with closing(Kvitto(redis, database, connection, tmp_path)) as found:
        yield found


def spellings(century: str, born: str, serial: str) -> list[str]:
    """Return the usual spellings of a national id."""
    return [
        f"{century}{born}-{serial}", f"{century}{born}{serial}", f"{born}-{serial}", f"{born}{serial}",
        f"{born}+{serial}", f"{century} {born} {serial}", f"{born}\N{EN DASH}{serial}",
    ]  # fmt: skip


@pytest.mark.parametrize("person", PERSONS, ids="-".join)
def test_each_spelling_finds_every_spelling_in_every_role(
    kvitto: Kvitto, connection: Connection, person: tuple[str, str, str]
) -> None:
    texts = spellings(*person)
    stored: list[Any] = list(texts)
    if (number := "".join(person[1:])).isdecimal():
        stored += [int(number), int("".join(person))]  # a number loses its leading zeros
    of_person = {
        kvitto.append(application(f"A-{role}-{place}", **{"ssn": OTHER} | content))
        for place, text in enumerate(stored)
        for role, content in {
            "applicant": {"ssn": text},
            "guarantor": {"guarantors": [{"ssn": OTHER}, {"ssn": text}]},
            "trader": {"company_id": text},
        }.items()
    }
    letters = {kvitto.append({"note": text}) for text in texts}
    kvitto.append(application("A-other", ssn=OTHER))
    kvitto.drain()
    found = {text: kvitto.holdings(text).find(connection).receipts for text in texts}
    assert found == dict.fromkeys(texts, of_person | letters)

    holdings = kvitto.erase(texts[2])
    assert {receipt for receipt, (*_, erased) in kvitto.outcomes().items() if erased} == of_person | letters
    assert kvitto.applications().keys() == {"A-other"}
    trace_search.vacuum(connection)
    assert trace_search.search(connection, holdings.traces) == []
    assert kvitto.missing() == 0


@pytest.mark.parametrize("spelling", ["20010203-1834", "200102031834", "200102031834 "])
def test_century_makes_no_other_person_of_the_digits(kvitto: Kvitto, connection: Connection, spelling: str) -> None:
    other = kvitto.append(application("A-other", ssn="200102-0318"))
    of_person = {kvitto.append(application("A-1", ssn="20010203-1834")), kvitto.append({"note": "010203-1834"})}
    kvitto.drain()
    assert kvitto.holdings(spelling).find(connection).receipts == of_person
    assert kvitto.holdings("200102-0318").find(connection).receipts == {other}


@pytest.mark.parametrize("person", PERSONS, ids="-".join)
def test_what_waits_anywhere_is_erased_for_every_kind_of_number(
    kvitto: Kvitto, connection: Connection, person: tuple[str, str, str]
) -> None:
    texts = spellings(*person)
    kvitto.append(application("A-1", guarantors=[{"ssn": texts[0]}]))
    claimed = kvitto.inbox.claim("a worker that died of it")
    for _ in range(3):
        dead_letters.begin_attempt(connection, claimed[0].delivery.receipt, uuid4())  # it runs alone from now on
    kvitto.append({"application_id": "A-1", "accepted": True}, "decisions")
    kvitto.append({"note": texts[1]})
    now = kvitto.inbox.mark().last_id.received_at
    overflow.append(connection, kvitto.delivery(application("A-2", ssn=texts[2])), now)
    overflow.append(connection, kvitto.delivery({"note": texts[3]}), now)
    reject(connection, application("A-3", company_id=texts[3]))

    kvitto.erase(texts[0])
    assert kvitto.holdings(texts[1]).find(connection) == NOTHING
    assert kvitto.inbox.receipts() == set()
    assert connection.execute("SELECT FROM overflow WHERE ciphertext IS NOT NULL").rowcount == 0
    assert connection.execute("SELECT FROM rejected_requests").rowcount == 0
    assert list(kvitto.outcomes().values()) == [("discarded", "erased", True)] * 5
    kvitto.drain()
    assert connection.execute("SELECT FROM bodies").rowcount == 0
    assert kvitto.missing() == 0


def reject(connection: Connection, content: dict[str, Any]) -> UUID:
    """Keep a request with such a body as rejected; return its receipt."""
    receipt, now = uuid7(), datetime.now(UTC)
    request = b"POST /webhooks/kompar/applications HTTP/1.1\r\n\r\n" + encrypt(content, KEY.decode())
    sealed = SEALS.seal(receipt, request)
    row = RejectedRequest(receipt, "kompar", "wrong-token", "10.0.0.1", now, now, len(request), sealed)
    rejected.record(connection, [], [row])
    return receipt


def test_readmitted_request_of_a_person_is_erased(kvitto: Kvitto, connection: Connection) -> None:
    receipt = reject(connection, content := application("A-1", ssn=PERSON))
    sealed = SEALS.seal(receipt, encrypt(content, KEY.decode()))
    assert rejected.readmit(connection, Delivery(receipt, "kompar", "applications", {}, sealed))
    kvitto.erase()
    assert kvitto.outcomes() == {receipt: ("discarded", "erased", True)}
    assert connection.execute("SELECT FROM rejected_requests WHERE request IS NOT NULL").rowcount == 0
    assert connection.execute("SELECT FROM overflow WHERE ciphertext IS NOT NULL").rowcount == 0
    kvitto.drain()
    assert (kvitto.applications(), kvitto.missing()) == ({}, 0)


def test_replayed_letter_is_erased_with_what_it_became(kvitto: Kvitto, connection: Connection) -> None:
    letter = kvitto.append(application("A-1", ssn=PERSON), key=LATER_KEY)
    kvitto.drain()
    replay(kvitto, connection, letter)
    assert kvitto.applications().keys() == {"A-1"}
    kvitto.erase()
    assert kvitto.outcomes() == {letter: ("stored", None, True)}
    assert connection.execute("SELECT FROM bodies").rowcount == 0
    (row,) = connection.execute("SELECT change, content FROM reporting.feed").fetchall()
    assert row == ("erased", None)


def replay(kvitto: Kvitto, connection: Connection, letter: UUID) -> None:
    """Replay a letter with a key that was added."""
    processor = DeliveryProcessor(SEALS, Kompar((("a", KEY), ("b", LATER_KEY)), FINGERPRINTS))
    for received in receipts.load(connection, [letter]):
        replay_one(kvitto.ledger, processor, received, Access("replay", "Grace"))


def test_replay_that_read_a_letter_before_its_erasure_stores_nothing(kvitto: Kvitto, connection: Connection) -> None:
    letter = kvitto.append({"application_id": "", "ssn": PERSON})
    kvitto.drain()
    (received,) = receipts.load(connection, [letter])
    kvitto.erase()
    processed = DeliveryProcessor(SEALS, kvitto.provider).process(received)
    assert kvitto.ledger.replay([processed]) == {}
    assert kvitto.outcomes() == {letter: ("discarded", "missing-id", True)}
    assert connection.execute("SELECT FROM dead_letters WHERE discarded_at IS NULL").rowcount == 0


def test_letter_that_a_later_key_opens_is_flagged_and_erased_by_the_next_erasure(
    kvitto: Kvitto, connection: Connection
) -> None:
    letter = kvitto.append(application("A-1", ssn=PERSON), key=LATER_KEY)
    kvitto.append(application("A-1", ssn=PERSON))
    kvitto.drain()
    assert [body.received.delivery.receipt for body in kvitto.erase().unsearched] == [letter]
    replay(kvitto, connection, letter)
    assert kvitto.applications() == {"A-1": ["after-erasure"]}
    kvitto.erase()
    assert kvitto.applications() == {}
    assert all(erased for *_, erased in kvitto.outcomes().values())


@pytest.mark.parametrize("place", ["dead letter", "inbox", "overflow", "rejected request"])
def test_body_that_no_key_opens_is_erased_by_its_receipt(kvitto: Kvitto, connection: Connection, place: str) -> None:
    other = kvitto.append(application("A-9", ssn=OTHER), key=LATER_KEY)
    if place == "rejected request":
        receipt = reject(connection, {})
        connection.execute("UPDATE rejected_requests SET request = 'damaged'")
    elif place == "overflow":
        receipt = (delivery := kvitto.delivery({}, key=LATER_KEY)).receipt
        overflow.append(connection, delivery, kvitto.inbox.mark().last_id.received_at)
    else:
        receipt = kvitto.append({}, key=LATER_KEY)
    if place == "dead letter":
        kvitto.drain()

    subject = Subject.of_receipt(receipt)
    holdings = Holdings(kvitto.provider, SEALS, kvitto.inbox, kvitto.ledger, subject)
    erase(holdings, connection, ACCESS)
    assert {body.received.delivery.receipt for body in holdings.unsearched} == {receipt, other}
    holdings.forget()
    assert holdings.find(connection) == NOTHING
    kvitto.drain()
    assert {body.receipt for body in connection.execute("SELECT receipt FROM bodies")} == {other}
    tombstones = {found for found, (*_, erased) in kvitto.outcomes().items() if erased}
    assert tombstones == (set() if place == "rejected request" else {receipt})
    assert connection.execute("SELECT FROM rejected_requests").rowcount == 0
    assert kvitto.missing() == 0
