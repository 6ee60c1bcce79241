"""What a person asks for in the console, done by a worker: dry runs, replays, discards, bodies in clear."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError, StoreUnavailableError
from app.sandbox.kompar import encrypt
from app.storage import operator_jobs
from app.storage.connection import Connection, connect, fetch_one
from app.storage.ledger import Ledger
from tests.integration.test_ledger import EPOCH, KOMPAR, START_MS
from tests.support.console_client import Person, log_in
from workers.operator_jobs import OperatorJobs

SEALS = SealingKeys((("a", b"s" * 32),))
KEY, OTHER = "k" * 32, "u" * 32
# A connection ends when it updates a table.
GO = """
    CREATE FUNCTION go() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
    CREATE TRIGGER go BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION go()
"""
APPLICATION = {"application_id": "a-1", "name": "Ada", "ssn": "19811218-9876"}


def dead(number: int, body: bytes, reason: str = "wrong-key") -> ProcessedDelivery:
    receipt, place = UUID(bytes=uuid7().bytes), StreamId(START_MS + number, number)
    delivery = Delivery(receipt, "kompar", "applications", {}, SEALS.seal(receipt, body))
    received = ReceivedDelivery(delivery, place.received_at, EPOCH, place)
    return ProcessedDelivery(received, InvalidDeliveryError(reason, "no key opens it"))


@pytest.fixture
def worker(database: str) -> Iterator[OperatorJobs]:
    """A worker, whose key was missing when these three dead letters came; one of them is under another key still."""
    worker = database.replace("//kvitto@", "//kvitto_worker@")
    ledger = Ledger(worker, "kompar")
    bodies = [encrypt(APPLICATION, KEY), encrypt(APPLICATION | {"application_id": "a-2"}, KEY), encrypt({}, OTHER)]
    ledger.store([dead(number, body) for number, body in enumerate(bodies, 1)])
    yield OperatorJobs(ledger, SEALS, KOMPAR)
    ledger.close()


def outcomes(connection: Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT outcome::text, count(*) FROM receipts GROUP BY outcome").fetchall())


def first_receipt(connection: Connection) -> UUID:
    found: UUID = fetch_one(connection, "SELECT receipt FROM receipts ORDER BY received_at LIMIT 1").receipt
    return found


def ask(person: Person, kind: str, **fields: Any) -> str:
    answer = person.post(f"/dead-letters/{kind}", why="case 4711", **fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


def logged(connection: Connection) -> list[tuple[str, str, str | None]]:
    query = "SELECT action, operator, reason FROM access_log WHERE action <> ALL(%s) ORDER BY number"
    return [tuple(row) for row in connection.execute(query, [["user-set", "login"]])]


def test_dry_run_says_what_a_replay_would_do_and_changes_nothing(
    database: str, connection: Connection, worker: OperatorJobs
) -> None:
    person = log_in(database)
    page = person.get("/dead-letters")
    assert "3 × wrong-key" in page
    job = ask(person, "dry-run", provider="kompar", topic="applications", reason="wrong-key")
    assert "waiting" in person.get(job)
    worker.work()
    page = person.get(job)
    assert "1 stay dead" in page
    assert "2 stored" in page
    assert outcomes(connection) == {"dead": 3}
    assert logged(connection) == [("dry-run", "operator-of-test", None)]
    form = page.partition('<h2 id="do-it">')[2].partition("</form>")[0]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    job = ask(person, "replay", **fields)  # as the button below the result does
    worker.work()
    assert "3 of 3" in person.get(job)


def test_replay_of_a_group_stores_what_opens_now(database: str, connection: Connection, worker: OperatorJobs) -> None:
    person = log_in(database)
    job = ask(person, "replay", reason="wrong-key")
    worker.work()
    page = person.get(job)
    assert "3 of 3" in page
    assert "no key of KOMPAR_KEYS opens it" in page
    assert outcomes(connection) == {"dead": 1, "stored": 2}
    assert "1 stay dead" not in person.get("/jobs")
    assert (
        logged(connection)
        == [("job-requested", "operator-of-test", "case 4711")] + [("replay", "operator-of-test", "case 4711")] * 3
    )
    assert "a-2" in person.get("/deliveries?entity=a-2")


def test_a_letter_that_comes_after_the_request_is_none_of_the_job(
    database: str, connection: Connection, worker: OperatorJobs
) -> None:
    person = log_in(database)
    job = ask(person, "discard", all="yes")
    ledger = Ledger(database, "kompar")
    ledger.store([dead(4, b"later")])
    ledger.close()
    worker.work()
    assert outcomes(connection) == {"dead": 1, "discarded": 3}
    assert "3 discarded" in person.get(job)


def test_discarded_letter_is_replayed_by_name_only(database: str, connection: Connection, worker: OperatorJobs) -> None:
    person = log_in(database)
    receipt = first_receipt(connection)
    ask(person, "discard", receipt=receipt)
    worker.work()
    job = ask(person, "replay", reason="wrong-key")
    worker.work()
    assert "2 of 2" in person.get(job)
    ask(person, "replay", receipt=receipt)
    worker.work()
    assert outcomes(connection) == {"dead": 1, "stored": 2}


def test_cancelled_job_begins_no_more_letters(database: str, connection: Connection, worker: OperatorJobs) -> None:
    person = log_in(database)
    job = ask(person, "replay", all="yes")
    assert operator_jobs.claim(connection, "kompar") is not None
    person.post(f"{job}/cancel")
    worker.work()
    assert "cancelled" in person.get(job)
    assert outcomes(connection) == {"dead": 3}
    assert logged(connection)[-1] == ("job-cancelled", "operator-of-test", None)


def test_letter_whose_worker_died_is_tried_once_more_and_then_failed(
    database: str, connection: Connection, worker: OperatorJobs
) -> None:
    person = log_in(database)
    job = ask(person, "replay", all="yes")
    lost = "UPDATE operator_job_items SET started_at = started_at - %s WHERE finished_at IS NULL"
    first = operator_jobs.claim(connection, "kompar")
    assert first is not None
    connection.execute(lost, [timedelta(minutes=2)])
    second = operator_jobs.claim(connection, "kompar")
    assert second is not None
    assert second.receipt == first.receipt
    operator_jobs.give_back(connection, first)  # by a worker that was away: it has been taken over
    connection.execute(lost, [timedelta(minutes=2)])
    worker.work()
    page = person.get(job)
    assert "2 attempts were interrupted" in page
    assert "3 of 3" in page


@pytest.mark.parametrize(
    ("table", "condition"),
    [("receipts", "true"), ("operator_job_items", "NEW.finished_at IS NOT NULL")],
    ids=["before it is done", "before it is recorded"],
)
def test_letter_at_which_postgres_goes_is_finished_when_it_is_back(  # noqa: PLR0917
    postgres_server: str, database: str, connection: Connection, worker: OperatorJobs, table: str, condition: str
) -> None:
    person = log_in(database)
    job = ask(person, "replay", all="yes")
    connection.execute(GO.format(table=table, condition=condition))
    with no_other_connections(postgres_server, connection), pytest.raises(StoreUnavailableError):
        worker.work()
    connection.execute("DROP FUNCTION go CASCADE")
    worker.work()
    assert "3 of 3" in person.get(job)
    assert outcomes(connection) == {"dead": 1, "stored": 2}
    (found,) = connection.execute("SELECT array_agg(outcome ORDER BY outcome), max(attempts) FROM operator_job_items")
    assert found == (["dead", "stored", "stored"], 1)


def test_letter_on_which_postgres_fails_while_it_answers_others_counts_as_tried(
    database: str, connection: Connection, worker: OperatorJobs
) -> None:
    ask(log_in(database), "replay", all="yes")
    connection.execute(GO.format(table="receipts", condition="true"))
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            worker.work()
    worker.work()
    assert [row.attempts for row in connection.execute("SELECT attempts FROM operator_job_items")] == [1, 1, 1]


@contextmanager
def no_other_connections(postgres_server: str, connection: Connection) -> Iterator[None]:
    """Have Postgres refuse new connections to the database."""
    name = fetch_one(connection, "SELECT current_database() AS name").name
    with connect(postgres_server, "test") as other:
        other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            yield
        finally:
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_two_workers_never_claim_the_same_letter(database: str, connection: Connection, worker: OperatorJobs) -> None:  # noqa: ARG001
    ask(log_in(database), "replay", all="yes")
    claimed = [operator_jobs.claim(connection, "kompar") for _ in range(4)]
    assert len({item.receipt for item in claimed if item}) == 3
    assert claimed[3] is None
    assert operator_jobs.claim(connection, "solaris") is None


def test_what_cannot_be_asked_for_is_refused(database: str, connection: Connection, worker: OperatorJobs) -> None:  # noqa: ARG001
    person = log_in(database)
    assert person.post("/dead-letters/replay", why="x").status_code == 400
    assert person.post("/dead-letters/replay", all="yes").status_code == 400
    answer = person.post("/dead-letters/replay", all="yes", why="about 19811218-9876")
    assert (answer.status_code, "9876" in answer.text) == (400, False)
    assert person.post("/dead-letters/replay", receipt="one", why="x").status_code == 400
    assert person.post("/dead-letters/replay", reason="not-json", why="x").status_code == 404
    assert connection.execute("SELECT FROM operator_jobs").rowcount == 0


def test_reveal_shows_the_clear_content_once_and_the_ledger_never_holds_it(
    database: str, connection: Connection, worker: OperatorJobs
) -> None:
    person = log_in(database, "privacy")
    receipt = first_receipt(connection)
    pages: list[str] = []
    asking = Thread(target=lambda: pages.append(person.post(f"/deliveries/{receipt}/reveal", why="complaint").text))
    asking.start()
    answers = []
    while asking.is_alive():
        worker.work()
        answers += [bytes(row.answer) for row in connection.execute("SELECT answer FROM reveal_requests") if row.answer]
        asking.join(0.05)
    assert "19811218-9876" in pages[0]
    assert not [answer for answer in answers if b"9876" in answer]
    assert connection.execute("SELECT FROM reveal_requests").rowcount == 0
    assert logged(connection) == [("reveal", "privacy-of-test", "complaint")]


def test_reveal_without_a_reason_opens_nothing(database: str, connection: Connection, worker: OperatorJobs) -> None:  # noqa: ARG001
    receipt = first_receipt(connection)
    answer = log_in(database).post(f"/deliveries/{receipt}/reveal", why=" ")
    assert (answer.status_code, "reason is empty" in answer.text) == (400, True)
    assert connection.execute("SELECT FROM reveal_requests").rowcount == 0
