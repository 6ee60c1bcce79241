"""The audit on real servers: which marks it uses, and when it alerts."""

from uuid import UUID

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.audit.conservation import audit
from app.console.overview import audit_problems
from app.domain.delivery import StreamId
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks, reports
from app.storage.connection import Connection
from app.storage.high_water_marks import SWEEP, HighWaterMark
from tests.integration.test_inbox import delivery


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "kompar")


def record(connection: Connection, source: str, epoch: UUID, appended: int, last_id: StreamId) -> None:
    high_water_marks.record(connection, source, {("kompar", epoch): HighWaterMark(appended, last_id)})


def witness(connection: Connection, inbox: Inbox) -> None:
    census = inbox.info()
    record(connection, SWEEP, census.epoch, census.appended, census.last_id)


def test_audit_uses_the_mark_of_the_sweep_if_no_edge_reported(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    for _ in range(3):
        inbox.append(delivery())
    witness(connection, inbox)
    redis.flushall()
    account = audit(connection, inbox)
    assert (account.missing, account.in_flight) == (3, 0)


def test_an_older_mark_that_arrives_late_changes_nothing(inbox: Inbox, redis: Redis, connection: Connection) -> None:
    first = inbox.append(delivery())
    inbox.append(delivery())
    witness(connection, inbox)
    record(connection, SWEEP, first.epoch, 1, first.stream_id)
    redis.flushall()
    assert audit(connection, inbox).missing == 2


def test_a_mark_that_one_edge_did_not_report_is_covered_by_the_next_edge(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    """The count is the server's: an edge that was killed before it reported leaves no gap."""
    for edge, count, reports_it in ((uuid7(), 2, True), (uuid7(), 100, False), (uuid7(), 3, True)):
        appended = [inbox.append(delivery()) for _ in range(count)][-1]
        for _ in range(2 if reports_it else 0):
            record(connection, str(edge), appended.epoch, appended.count, appended.stream_id)
    assert audit(connection, inbox).missing == 0
    redis.flushall()
    assert audit(connection, inbox).missing == 105


def test_audit_finds_an_inbox_that_was_emptied_within_its_epoch(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    """Deleted by hand, or set back to an earlier state: the server's own counter has forgotten."""
    edge = str(uuid7())
    for _ in range(3):
        appended = inbox.append(delivery())
        record(connection, edge, appended.epoch, appended.count, appended.stream_id)
    redis.delete("inbox:kompar")
    assert audit(connection, inbox).missing == 3
    for count in (4, 5, 6, 7):
        appended = inbox.append(delivery())
        assert appended.count == count
        record(connection, edge, appended.epoch, count, appended.stream_id)
        account = audit(connection, inbox)
        assert (account.missing, account.in_flight) == (3, count - 3)


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
        return list(audit_problems(reports.audits(connection)))

    assert reported() == []
    assert reported(accepted_loss=3) == []
    assert reported(accepted_loss=3, missing=4) == ["kompar: 4 MISSING: run kvitto audit."]
    connection.execute("UPDATE audits SET missing = 0, audited_at = audited_at - interval '10 minutes'")
    (late,) = audit_problems(reports.audits(connection))
    assert late == "kompar: not audited for 10 min. Are its worker and beat running?"
