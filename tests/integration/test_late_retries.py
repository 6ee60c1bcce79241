"""Late retries that may be a customer's change back: suspected by how the earlier tries were answered, and accepted."""

import base64
from collections.abc import Iterator
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.processing.processor import DeliveryProcessor
from app.providers.kompar.events import Kompar
from app.sandbox.kompar import encrypt
from app.storage import answers, reports
from app.storage.answers import Answer
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_ledger import EPOCH, START_MS
from tests.support.kvitto_process import run

KEY, SECRET = "k" * 32, b"s" * 32
SEALS = SealingKeys((("a", SECRET),))
PROCESSOR = DeliveryProcessor(SEALS, Kompar((("a", KEY.encode()),), Fingerprints(SECRET)))
DECLINED: dict[str, Any] = {"application_id": "a", "accepted": False}
ACCEPTED: dict[str, Any] = {"application_id": "a", "accepted": True, "offer_id": "of-1"}
STATE = "SELECT accepted, offer_id, flags, revision FROM reporting.kompar_decisions"


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database, "kompar")
    yield found
    found.close()


def delivered(
    number: int, seconds: float, content: dict[str, Any], body: bytes = b"", topic: str = "decisions"
) -> ProcessedDelivery:
    """Return what a worker makes of a delivery; without a `body`, it is newly encrypted."""
    receipt, position = UUID(int=number), StreamId(START_MS + round(seconds * 1000), number)
    sealed = SEALS.seal(receipt, body or encrypt(content, KEY))
    delivery = Delivery(receipt, "kompar", topic, {}, sealed)
    return PROCESSOR.process(ReceivedDelivery(delivery, position.received_at, EPOCH, position))


def answered(connection: Connection, number: int, milliseconds: int = 3, complete: bool = True) -> None:
    answers.record(connection, [Answer(UUID(int=number), milliseconds, complete)])


def changed_back() -> list[ProcessedDelivery]:
    """Return declined, accepted, and declined again at a time when a retry of the first may come."""
    return [delivered(1, 0, DECLINED), delivered(2, 10, ACCEPTED), delivered(3, 32, DECLINED)]


def suspected(connection: Connection) -> list[UUID]:
    return [row["receipt"] for row in reports.suspected_late_retries(connection)]


def test_change_back_at_a_time_of_the_schedule_is_flagged_and_listed(ledger: Ledger, connection: Connection) -> None:
    ledger.store(changed_back())
    answered(connection, 1)
    assert suspected(connection) == [UUID(int=3)]
    (row,) = connection.execute(STATE)
    assert row == (True, "of-1", ["late-retry-suspected"], 2)
    connection.execute("INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now(), 0)")
    assert [row["suspected"] for row in reports.suspected_counts(connection)] == [1]


def test_every_flag_of_an_application_is_a_row_as_well(ledger: Ledger, connection: Connection) -> None:
    times_and_amounts = ((0, 1), (10, 2), (32, 1))
    ledger.store([
        delivered(number, seconds, {"application_id": "a", "amount": amount, "company_id": 7}, topic="applications")
        for number, (seconds, amount) in enumerate(times_and_amounts, start=1)
    ])  # fmt: skip
    answered(connection, 1)
    (application,) = connection.execute("SELECT flags FROM reporting.kompar_applications")
    rows = connection.execute("SELECT application_id, flag FROM reporting.kompar_application_flags")
    assert "late-retry-suspected" in application.flags
    assert len(application.flags) > 1
    assert sorted(rows) == [("a", flag) for flag in sorted(application.flags)]


@pytest.mark.parametrize(("milliseconds", "complete"), [(3, False), (9_000, True), (None, False)])
def test_late_retry_after_an_answer_that_may_not_have_arrived_is_not_suspected(
    ledger: Ledger, connection: Connection, milliseconds: int | None, complete: bool
) -> None:
    ledger.store(changed_back())
    if milliseconds is not None:
        answered(connection, 1, milliseconds, complete)
    assert suspected(connection) == []
    (row,) = connection.execute(STATE)
    assert row == (True, "of-1", [], 2)


def test_suspicion_needs_a_good_answer_to_every_try_that_fits(ledger: Ledger, connection: Connection) -> None:
    ledger.store([delivered(1, 0, DECLINED), delivered(4, 121, DECLINED), delivered(2, 125, ACCEPTED)])
    ledger.store([delivered(3, 155, DECLINED)])  # 155 s after the first, and 34 s after its repetition
    answered(connection, 1)
    assert suspected(connection) == []
    answered(connection, 4)
    assert suspected(connection) == [UUID(int=3)]


def test_body_that_was_sent_on_twice_is_never_suspected(ledger: Ledger, connection: Connection) -> None:
    body = encrypt(DECLINED, KEY)
    batch = [delivered(1, 0, DECLINED, body), delivered(2, 10, ACCEPTED), delivered(3, 9_000, DECLINED, body)]
    ledger.store(batch)
    answered(connection, 1)
    assert suspected(connection) == []
    assert [row.accepted for row in connection.execute(STATE)] == [True]
    with pytest.raises(LookupError, match="is no late retry"):
        ledger.accept(batch[2], "why", "operator")


def test_plain_body_that_comes_again_is_judged_by_its_time(ledger: Ledger, connection: Connection) -> None:
    """Equal content has equal bytes if nothing is encrypted: they show nothing."""
    body = b'{"application_id": "a", "accepted": false}'
    ledger.store([delivered(1, 0, DECLINED, body), delivered(2, 10, ACCEPTED), delivered(3, 9_000, DECLINED, body)])
    assert [row.accepted for row in connection.execute(STATE)] == [False]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_accepted_late_retry_is_a_revision_whatever_the_order(
    ledger: Ledger, connection: Connection, order: tuple[int, ...]
) -> None:
    batch = changed_back()
    for index in order:
        ledger.store([batch[index]])
    ledger.accept(batch[2], "customer called", "operator")
    ledger.store(batch)
    ledger.store([delivered(4, 5, DECLINED | {"phone": "1"})])  # an older one that was stored late
    assert [tuple(row) for row in connection.execute(STATE)] == [(False, None, [], 4)]
    (row,) = connection.execute("SELECT outcome, reason FROM reporting.deliveries WHERE receipt = %s", [UUID(int=3)])
    assert row == ("stored", "accepted-by-operator")
    assert suspected(connection) == []


def logged(connection: Connection) -> list[tuple[Any, ...]]:
    """Return what the access log says."""
    return list(map(tuple, connection.execute("SELECT action, receipt, reason, role FROM access_log")))


def test_deliveries_accept_command_decides_the_entity_again(
    ledger: Ledger, connection: Connection, database: str
) -> None:
    ledger.store(changed_back())
    answered(connection, 1)
    key = base64.b64encode(SECRET).decode()
    worker = database.replace("//kvitto@", "//kvitto_worker@")
    environment = {"DATABASE_URL": worker, "REDIS_URL": "redis://127.0.0.1:1", "PROVIDERS": "kompar"}
    environment |= {"SEALING_KEYS": f"a={key}", "FINGERPRINT_KEY": key, "KOMPAR_KEYS": f"a={KEY}"}
    listed = run("deliveries", "suspected", environment=environment)
    assert str(UUID(int=3)) in listed.stdout, listed.stderr
    explained = run("explain", str(UUID(int=3)), environment=environment).stdout
    assert f"fits the provider's retry schedule after {UUID(int=1)} (answer complete after 3 ms)" in explained
    assert "duplicate, late-retry, flagged late-retry-suspected" in explained
    done = run("deliveries", "accept", str(UUID(int=3)), "--reason", "case 4711", environment=environment)
    assert (done.returncode, done.stdout) == (0, "accepted: decisions a was decided again\n"), done.stderr
    assert [tuple(row) for row in connection.execute(STATE)] == [(False, None, [], 3)]
    assert connection.execute("SELECT * FROM late_retry_findings").fetchall() == [(UUID(int=3), True)]
    assert logged(connection) == [("late-retry-accepted", UUID(int=3), "case 4711", "kvitto_worker")]
    again = run("deliveries", "accept", str(UUID(int=3)), "--reason", "case 4711", environment=environment)
    assert again.returncode == 1
    assert "is no late retry that may be a change back, or was decided before" in again.stderr


def test_dismissed_late_retry_stays_a_duplicate_without_a_flag(
    ledger: Ledger, connection: Connection, database: str
) -> None:
    batch = changed_back()
    ledger.store(batch)
    answered(connection, 1)
    environment = {"DATABASE_URL": database.replace("//kvitto@", "//kvitto_worker@")}
    done = run("deliveries", "dismiss", str(UUID(int=3)), "--reason", "Kompar confirms", environment=environment)
    assert done.returncode == 0, done.stderr
    assert suspected(connection) == []
    assert logged(connection) == [("late-retry-dismissed", UUID(int=3), "Kompar confirms", "kvitto_worker")]
    assert [tuple(row) for row in connection.execute(STATE)] == [(True, "of-1", [], 2)]
    with pytest.raises(LookupError, match="was decided before"):
        ledger.accept(batch[2], "why", "operator")
