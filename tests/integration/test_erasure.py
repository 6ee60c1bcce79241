"""A person is erased while deliveries come in; the receipts stay, and what comes again is recognised."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.domain.event import Entity
from app.processing.erasure import erase
from app.processing.export import export
from app.processing.holdings import Holdings, Subject
from app.processing.processor import DeliveryProcessor
from app.sandbox.kompar import encrypt
from app.storage import overflow, rejected, trace_search
from app.storage.connection import Connection
from app.storage.rejected import RejectedRequest
from tests.support.console_client import log_in
from tests.support.erasing import ACCESS, KEY, OTHER, PERSON, SEALS, Kvitto, application


@pytest.fixture
def kvitto(redis: Redis, database: str, connection: Connection, tmp_path: Path) -> Iterator[Kvitto]:
    with closing(Kvitto(redis, database, connection, tmp_path)) as found:
        yield found


def test_person_is_erased_in_every_role_and_nobody_else_is(kvitto: Kvitto, connection: Connection) -> None:
    of_person = [
        kvitto.append(application("A-applicant", ssn="811218-9876")),
        kvitto.append(application("A-guarantor", ssn=OTHER, guarantors=[{"ssn": "198112189876"}])),
        kvitto.append(application("A-sole-trader", company_id="SE811218987601")),
        kvitto.append(application("A-free-text", company_description="Ägs av Anna (811218 98 76).")),
        kvitto.append({"application_id": "A-applicant", "accepted": True, "phone": "0701234567"}, "decisions"),
        kvitto.append({"note": "no id, 19811218-9876"}),
        kvitto.append(b'{"cut": "8112189876", "rest'),
        kvitto.append(application("A-nul", ssn=PERSON, nul="\0")),
    ]
    of_other = [kvitto.append(application("A-other", ssn=OTHER)), kvitto.append({"note": "nobody"})]
    kvitto.consumer.drain()

    holdings = kvitto.erase()
    outcomes = kvitto.outcomes()
    assert {receipt for receipt, (*_, erased) in outcomes.items() if erased} == set(of_person)
    assert [outcomes[receipt][0] for receipt in of_person] == ["stored"] * 5 + ["discarded"] * 3
    assert [outcomes[receipt][0] for receipt in of_other] == ["stored", "dead"]
    assert kvitto.applications().keys() == {"A-other"}
    assert connection.execute("SELECT * FROM reporting.kompar_decisions").fetchall() == []
    bodies = {row.receipt for row in connection.execute("SELECT receipt FROM bodies")}
    assert bodies == set(of_other)
    shown = connection.execute("SELECT receipt, entity_id, content FROM reporting.feed WHERE change = 'erased'")
    assert set(shown) == {(receipt, None, None) for receipt in of_person[:5]}
    trace_search.vacuum(connection)
    assert trace_search.search(connection, holdings.traces) == []
    assert kvitto.missing() == 0
    (logged,) = connection.execute("SELECT action, operator, reason, provider FROM reporting.access_log")
    assert logged == ("erasure", "Grace", "request 4711", "kompar")


def test_entity_whose_contents_retention_removed_is_erased_from_its_receipts(
    kvitto: Kvitto, connection: Connection
) -> None:
    aged, other = kvitto.append(application("A-1", ssn=PERSON)), kvitto.append(application("A-2"))
    kvitto.consumer.drain()
    for table in ("events", "bodies", "kompar_applications"):
        connection.execute(f"DELETE FROM {table}".encode())
    holdings = Holdings(
        kvitto.provider, SEALS, kvitto.inbox, kvitto.ledger,
        Subject.of_entity(Entity("kompar", "applications", "A-1")),
    )  # fmt: skip
    assert holdings.find(connection).receipts == {aged}
    erase(holdings, connection, ACCESS)
    named = {row.receipt: row.entity_id for row in connection.execute("SELECT receipt, entity_id FROM receipts")}
    assert named == {aged: None, other: "A-2"}
    trace_search.vacuum(connection)
    assert trace_search.search(connection, holdings.traces) == []
    assert kvitto.missing() == 0


def test_deliveries_that_wait_are_erased_and_accounted_for(kvitto: Kvitto, connection: Connection) -> None:
    stored = kvitto.append(application("A-1", ssn=PERSON))
    kvitto.consumer.drain()
    waiting = [
        kvitto.append({"application_id": "A-1", "accepted": True}, "decisions"),
        kvitto.append(application("A-2", ssn=PERSON)),
        kvitto.append({"application_id": "A-2", "accepted": False}, "decisions"),
        kvitto.append({"note": PERSON}),
    ]
    kvitto.inbox.claim("a worker that holds them")
    large = kvitto.delivery(application("A-3", guarantors=[{"ssn": PERSON}]))
    overflow.append(connection, large, kvitto.inbox.mark().last_id.received_at)
    other = kvitto.append(application("A-9", ssn=OTHER, company_name="A-2"))

    kvitto.erase()
    assert kvitto.inbox.receipts() == {other}
    outcomes = kvitto.outcomes()
    assert outcomes == {stored: ("stored", None, True)} | dict.fromkeys(
        [*waiting, large.receipt], ("discarded", "erased", True)
    )
    (row,) = connection.execute("SELECT headers, ciphertext FROM overflow")
    assert row == ({}, None)
    assert kvitto.missing() == 0
    kvitto.consumer.sweep()
    assert kvitto.applications().keys() == {"A-9"}
    assert kvitto.missing() == 0


def test_worker_that_holds_an_erased_entry_stores_nothing_of_it(kvitto: Kvitto) -> None:
    receipt = kvitto.append(application("A-1", ssn=PERSON))
    (claimed,) = kvitto.inbox.claim("slow")
    kvitto.erase()
    processed = DeliveryProcessor(SEALS, kvitto.provider).process(claimed)
    assert kvitto.ledger.store([processed]) == {}
    assert kvitto.outcomes() == {receipt: ("discarded", "erased", True)}
    assert kvitto.applications() == {}
    assert kvitto.missing() == 0


def test_retry_of_erased_content_leaves_its_receipt_alone(kvitto: Kvitto, connection: Connection) -> None:
    content = application("A-1", ssn=PERSON)
    kvitto.append(content)
    kvitto.append(content | {"amount": 1})
    kvitto.consumer.drain()
    waiting = application("A-1", ssn=PERSON, amount=2)
    kvitto.append(waiting)
    kvitto.erase()
    retries = [kvitto.append(each) for each in (content, content | {"amount": 1}, waiting)]
    kvitto.consumer.drain()
    outcomes = kvitto.outcomes()
    assert [outcomes[receipt] for receipt in retries] == [("duplicate", "erased", True)] * 3
    assert connection.execute("SELECT FROM bodies").rowcount == 0
    assert kvitto.applications() == {}
    assert kvitto.missing() == 0


@pytest.mark.parametrize("later", [{"amount": 7}, {"application_id": "A-2"}, {"application_id": "A-2", "ssn": OTHER}])
def test_new_content_after_an_erasure_is_stored_and_flagged(kvitto: Kvitto, later: dict[str, Any]) -> None:
    content = application("A-1", ssn=PERSON)
    kvitto.append(content)
    kvitto.consumer.drain()
    kvitto.erase()
    kvitto.append(content | later)
    kvitto.consumer.drain()
    (flags,) = kvitto.applications().values()
    is_of_other = later.get("ssn") == OTHER
    assert flags == ([] if is_of_other else ["after-erasure"])
    kvitto.erase()
    assert len(kvitto.applications()) == is_of_other
    assert kvitto.missing() == 0


def test_erasure_is_repeatable(kvitto: Kvitto, connection: Connection) -> None:
    kvitto.append(application("A-1", ssn=PERSON))
    kvitto.consumer.drain()
    kvitto.erase()
    before = connection.execute("SELECT * FROM receipts").fetchall()
    holdings = kvitto.erase()
    assert connection.execute("SELECT * FROM receipts").fetchall() == before
    held = holdings.find(connection)
    assert (held.entities, held.receipts, held.waiting) == (frozenset(), frozenset(), ())


def test_erasure_that_fails_changes_nothing(kvitto: Kvitto, connection: Connection) -> None:
    kvitto.append(application("A-1", ssn=PERSON))
    kvitto.consumer.drain()
    waiting = kvitto.append(application("A-2", ssn=PERSON))
    connection.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '57014'; END $$"
    )
    connection.execute("CREATE TRIGGER fail BEFORE INSERT ON access_log FOR EACH ROW EXECUTE FUNCTION fail()")
    with pytest.raises(Exception, match="postgres-unavailable"):
        kvitto.erase()
    assert kvitto.applications().keys() == {"A-1"}
    assert kvitto.inbox.receipts() == {waiting}
    assert connection.execute("SELECT FROM bodies").rowcount == 1


def test_bodies_that_no_key_opens_are_reported(kvitto: Kvitto, connection: Connection) -> None:
    letter = kvitto.append(application("A-1", ssn=PERSON), key=b"x" * 32)
    kvitto.consumer.drain()
    waiting = kvitto.append(application("A-2", ssn=PERSON), key=b"y" * 32)
    holdings = kvitto.holdings()
    held = holdings.find(connection)
    assert (held.receipts, held.waiting) == (frozenset(), ())
    unsearched = {body.received.delivery.receipt: (body.place, body.problem) for body in holdings.unsearched}
    assert unsearched == {
        letter: ("dead letter", "wrong-key: no key opens it"),
        waiting: ("inbox", "wrong-key: no key opens it"),
    }


def test_rejected_requests_of_a_person_are_erased_and_exported(kvitto: Kvitto, connection: Connection) -> None:
    def reject(content: dict[str, Any]) -> UUID:
        receipt, now = uuid7(), datetime.now(UTC)
        body = encrypt(content, KEY.decode())
        request = b"POST /webhooks/kompar/applications HTTP/1.1\r\nContent-Type: application/json\r\n\r\n" + body
        sealed = SEALS.seal(receipt, request)
        row = RejectedRequest(receipt, "kompar", "wrong-token", "10.0.0.1", now, now, len(request), sealed)
        rejected.record(connection, [], [row])
        return receipt

    reject(application("A-1", ssn=PERSON))
    other = reject(application("A-9", ssn=OTHER))
    exported = export(kvitto.holdings(), connection)
    assert [(body["source"], body["content"]["application_id"]) for body in exported["bodies"]] == [
        ("kvitto.rejected_requests", "A-1")
    ]
    kvitto.erase()
    assert [row.receipt for row in connection.execute("SELECT receipt FROM rejected_requests")] == [other]


def test_entity_is_erased_alone(kvitto: Kvitto, connection: Connection) -> None:
    kvitto.append(application("A-1", ssn=PERSON))
    kvitto.append({"application_id": "A-1", "accepted": True}, "decisions")
    kvitto.append(application("A-2", ssn=PERSON))
    kvitto.consumer.drain()
    subject = Subject.of_entity(Entity("kompar", "applications", "A-1"))
    holdings = Holdings(kvitto.provider, SEALS, kvitto.inbox, kvitto.ledger, subject)
    erase(holdings, connection, ACCESS)
    assert kvitto.applications().keys() == {"A-2"}
    assert [row.application_id for row in connection.execute("SELECT * FROM reporting.kompar_decisions")] == ["A-1"]
    left = {found.where for found in trace_search.search(connection, holdings.traces)}
    assert left >= {"kvitto.events.entity_id", "kvitto.receipts.entity_id", "kvitto.kompar_decisions.entity_id"}


def test_export_holds_everything_with_its_source(kvitto: Kvitto, connection: Connection) -> None:
    stored = kvitto.append(application("A-1", ssn=PERSON))
    letter = kvitto.append({"note": PERSON})
    kvitto.append(application("A-9", ssn=OTHER))
    kvitto.consumer.drain()
    waiting = kvitto.append({"application_id": "A-1", "accepted": True}, "decisions")
    exported = export(kvitto.holdings(), connection)
    assert exported["entities"] == ["applications/A-1", "decisions/A-1"]
    assert {table: len(rows) for table, rows in exported["rows"].items()} == {
        "kvitto.bodies": 2, "kvitto.dead_letters": 1, "kvitto.events": 1, "kvitto.receipts": 2,
        "kvitto.kompar_applications": 1,
    }  # fmt: skip
    bodies = {body["receipt"]: (body["source"], body["content"]) for body in exported["bodies"]}
    assert bodies == {
        stored: ("kvitto.bodies", application("A-1", ssn=PERSON)),
        letter: ("kvitto.bodies", {"note": PERSON}),
        waiting: ("inbox:kompar", {"application_id": "A-1", "accepted": True}),
    }
    assert "A-9" not in json.dumps(exported, default=str)


def test_console_counts_no_erased_dead_letter(kvitto: Kvitto, database: str) -> None:
    letter = kvitto.append({"note": PERSON})
    kvitto.consumer.drain()
    person = log_in(database)
    assert str(letter) in person.get("/deliveries?outcome=dead")
    assert "No dead letter waits." not in person.get("/dead-letters")
    kvitto.erase()
    assert "No dead letter waits." in person.get("/dead-letters")
    assert "waits as a dead letter" not in person.get("/")
