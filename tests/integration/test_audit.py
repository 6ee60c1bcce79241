"""The audit on real servers: which marks it uses and keeps, and when it alerts."""

from pathlib import Path

import pytest
from redis import Redis

from app.audit.conservation import audit
from app.audit.problems import loss_problems, schedule_problems
from app.domain.high_water_mark import HighWaterMark
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks, reports
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_consumer import consumer_of
from tests.integration.test_consumer import delivery as valid_delivery
from tests.integration.test_inbox import delivery
from workers.consumer_slots import ConsumerSlot


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "kompar")


def record(connection: Connection, mark: HighWaterMark) -> None:
    high_water_marks.record(connection, [("kompar", mark)])


def marks(connection: Connection) -> list[int]:
    return sorted(mark.appended for mark in high_water_marks.load(connection, "kompar"))


def test_audit_uses_the_mark_of_the_sweep_if_no_edge_reported(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    for _ in range(3):
        inbox.append(delivery())
    record(connection, inbox.mark())
    redis.flushall()
    account = audit(connection, inbox)
    assert (account.missing, account.in_flight) == (3, 0)


def test_an_older_mark_that_arrives_late_changes_nothing(inbox: Inbox, redis: Redis, connection: Connection) -> None:
    first = inbox.append(delivery()).mark
    inbox.append(delivery())
    record(connection, inbox.mark())
    record(connection, first)
    redis.flushall()
    assert audit(connection, inbox).missing == 2


def test_a_mark_that_one_edge_did_not_report_is_covered_by_the_next_edge(
    redis: Redis, inbox: Inbox, connection: Connection
) -> None:
    """The count is the server's: an edge that was killed before it reported leaves no gap."""
    for count, reports_it in ((2, True), (100, False), (3, True)):
        edge = Inbox(redis, "kompar")
        appended = edge.append_all([delivery() for _ in range(count)])[-1]
        if reports_it:
            record(connection, appended.mark)
    assert audit(connection, inbox).missing == 0
    redis.flushall()
    assert audit(connection, inbox).missing == 105


def test_two_losses_of_one_epoch_add_up(inbox: Inbox, redis: Redis, connection: Connection) -> None:
    for lost in (2, 5):
        for _ in range(lost):
            record(connection, inbox.append(delivery()).mark)
        redis.delete("inbox:kompar")
        record(connection, inbox.append(delivery()).mark)
    account = audit(connection, inbox)
    assert (account.missing, account.in_flight) == (3 + 5, 1)  # what was appended between them was lost, too


def test_a_mark_is_kept_until_the_ledger_confirms_it_and_the_newest_for_good(
    redis: Redis, connection: Connection, database: str, tmp_path: Path
) -> None:
    ledger, slot = Ledger(database, "kompar"), ConsumerSlot(tmp_path)
    consumer = consumer_of(slot, ledger, redis)
    inbox = consumer.inbox
    for _ in range(3):
        record(connection, inbox.append(valid_delivery("a")).mark)
    high_water_marks.forget_confirmed(connection, "kompar")
    assert marks(connection) == [1, 2, 3]
    consumer.drain()
    for _ in range(2):
        record(connection, inbox.append(valid_delivery("a")).mark)
    high_water_marks.forget_confirmed(connection, "kompar")
    assert marks(connection) == [4, 5]
    consumer.drain()
    high_water_marks.forget_confirmed(connection, "kompar")
    assert marks(connection) == [5]
    assert audit(connection, inbox).missing == 0
    redis.flushall()
    record(connection, inbox.append(valid_delivery("a")).mark)
    high_water_marks.forget_confirmed(connection, "kompar")
    assert marks(connection) == [1, 5]
    ledger.close()
    slot.release()


def test_alert_is_due_at_once_after_a_change_and_repeated_every_five_minutes(
    inbox: Inbox, connection: Connection
) -> None:
    row = audit(connection, inbox).row()

    def must_alert(missing: int) -> bool:
        return audits.record(connection, row | {"missing": missing})

    assert [must_alert(missing) for missing in (0, 3, 3, 4, 4, 0, 0, 4)] == [
        False, True, False, True, False, False, False, True,
    ]  # fmt: skip
    connection.execute("UPDATE audits SET alerted_at = alerted_at - interval '301 seconds'")
    assert [must_alert(4), must_alert(4)] == [True, False]


def test_console_shows_the_result_of_the_last_audit(inbox: Inbox, connection: Connection) -> None:
    row = audit(connection, inbox).row()

    def reported(**found: int) -> list[str]:
        audits.record(connection, row | found)
        rows = reports.audits(connection)
        return list(map(str, (*loss_problems(rows), *schedule_problems(rows))))

    assert reported() == []
    assert reported(accepted_loss=3) == []
    assert reported(accepted_loss=3, missing=4) == ["kompar: 4 MISSING. Run: kvitto audit."]
    connection.execute("UPDATE audits SET missing = 0, audited_at = audited_at - interval '10 minutes'")
    (late,) = map(str, schedule_problems(reports.audits(connection)))
    assert late.startswith("kompar: not audited for 10 min (since ")
    assert late.endswith("Are its worker and beat running?")
    connection.execute("UPDATE audits SET audited_at = audited_at + interval '20 minutes'")
    (early,) = map(str, schedule_problems(reports.audits(connection)))
    assert "in the future. Was the clock of Postgres set back?" in early
