"""Retention: what is older than its limit goes, counts stay, and the audit still adds up."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.audit.conservation import audit
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.high_water_mark import HighWaterMark
from app.domain.outcome import ProcessedDelivery
from app.errors import InvalidDeliveryError
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks, overflow, periods, reports
from app.storage.connection import connect
from app.storage.ledger import Ledger
from app.storage.overflow import Overflow
from app.storage.retention import Limits, PostponedError, Retention, limits, pending
from tests.integration.test_ledger import EPOCH, KOMPAR
from tests.support.servers import eventually

NOW = datetime.now(UTC)
WAITING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def months_ago(months: int) -> datetime:
    """Return the fifteenth of the month so many months ago."""
    number = NOW.year * 12 + NOW.month - 1 - months
    return datetime(number // 12, number % 12 + 1, 15, tzinfo=UTC)


def delivery(
    at: datetime, content: dict[str, Any] | None, provider: str = "kompar", seq: int = 0, epoch: UUID = EPOCH
) -> ProcessedDelivery:
    """Return a delivery received then; without content it is a dead letter."""
    position = StreamId(int(at.timestamp() * 1000), seq)
    receipt = uuid7(nanoseconds=position.ms * 1_000_000)
    received = ReceivedDelivery(Delivery(receipt, provider, "decisions", {}, b"sealed"), at, epoch, position)
    if content is None:
        return ProcessedDelivery(received, InvalidDeliveryError("wrong-key", "no key opens it"))
    return ProcessedDelivery(received, KOMPAR.validate(Payload("decisions", {}, content)))


class Stage:
    """A ledger with a partition for each of the last 12 months, used as a worker uses it."""

    def __init__(self, database: str, redis: Redis) -> None:
        self.owner = connect(database, "test")
        for months in range(1, 13):
            self.owner.execute("SELECT create_month(%s)", [months_ago(months).date().replace(day=1)])
        worker = database.replace("//kvitto@", "//kvitto_worker@")
        self.worker = connect(worker, "test")
        self.ledgers = {name: Ledger(worker, name) for name in ("kompar", "solaris")}
        self.inbox = Inbox(redis, "kompar")

    def store(self, *deliveries: ProcessedDelivery) -> None:
        for item in deliveries:
            self.ledgers[item.received.delivery.provider].store([item])

    def seen(self, appended: int, at: datetime) -> None:
        """Record that so many entries of the inbox were seen up to then."""
        mark = HighWaterMark(EPOCH, appended, StreamId(int(at.timestamp() * 1000), 999))
        high_water_marks.record(self.owner, [("kompar", mark)])

    def apply(self, configured: Limits, provider: str = "kompar") -> Counter[str]:
        removed: Counter[str] = Counter()
        for step in Retention(self.ledgers[provider], provider, configured, seconds=600).apply():
            removed[step.what] += step.rows
        return removed

    def rows(self, table: str) -> int:
        return self.owner.execute(f"SELECT FROM {table}".encode()).rowcount

    def partitions(self, table: str) -> set[str]:
        query = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = %s::regclass"
        return {row.name for row in self.owner.execute(query, [table])}

    def account(self) -> dict[str, Any]:
        return audit(self.worker, self.inbox).row()

    def close(self) -> None:
        self.owner.close()
        self.worker.close()
        for ledger in self.ledgers.values():
            ledger.close()


@pytest.fixture
def stage(database: str, redis: Redis) -> Iterator[Stage]:
    found = Stage(database, redis)
    yield found
    found.close()


def fill(stage: Stage) -> None:
    """Store a delivery of each outcome, and a copy, in each of the last 12 months, and have them seen."""
    for months in range(12, 0, -1):
        at = months_ago(months)
        first = delivery(at, {"application_id": f"a{months}"}, seq=1)
        copy = delivery(at + timedelta(seconds=9), {"application_id": f"a{months}"}, seq=4)
        received = ReceivedDelivery(first.received.delivery, copy.received.received_at, EPOCH, copy.received.stream_id)
        stage.store(
            first,
            delivery(at, {"application_id": f"a{months}"}, seq=2),
            delivery(at, None, seq=3),
            ProcessedDelivery(received, first.result),
        )
    stage.seen(48, NOW - timedelta(days=1))


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_month_goes_with_all_that_belongs_to_it_and_the_audit_still_adds_up(stage: Stage, is_counted: bool) -> None:
    fill(stage)
    if is_counted:
        with stage.ledgers["kompar"].turn() as connection:
            periods.close(connection, "kompar", [months_ago(months) + timedelta(days=1) for months in range(12, 0, -1)])
        periods.recount(stage.worker, "kompar")
    before, counts = stage.account(), reports.delivery_counts(stage.owner)
    assert (before["receipts"], before["copies"], before["missing"]) == (36, 12, 0)
    configured = {"kompar": {"contents": 6, "receipts": 6}}
    removed = stage.apply(configured)
    assert sum(rows for what, rows in removed.items() if what.startswith("receipts")) == 6 * 3
    assert {table: stage.rows(table) for table in ("receipts", "bodies", "duplicate_entries", "dead_letters")} == {
        "receipts": 18, "bodies": 18, "duplicate_entries": 6, "dead_letters": 6,
    }  # fmt: skip
    assert stage.rows("reporting.kompar_decisions") == 6
    oldest = f"receipts_{months_ago(6):%Y_%m}"
    assert min(stage.partitions("receipts")) == oldest
    assert stage.partitions("retired_receipts") == set()
    assert (stage.account(), reports.delivery_counts(stage.owner)) == (before, counts)
    periods.recount(stage.worker, "kompar")
    assert stage.account() == before
    stage.ledgers["kompar"].close_periods()
    assert stage.account() == before
    assert stage.apply(configured).total() == 0


def test_a_loss_before_and_after_a_month_was_removed_is_reported(stage: Stage) -> None:
    fill(stage)
    stage.owner.execute("DELETE FROM receipts WHERE receipt IN (SELECT receipt FROM receipts ORDER BY receipt LIMIT 1)")
    assert stage.account()["missing"] == 1
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert stage.account()["missing"] == 1
    stage.owner.execute("DELETE FROM receipts WHERE receipt IN (SELECT receipt FROM receipts ORDER BY receipt LIMIT 2)")
    assert stage.account()["missing"] == 3


def test_a_month_that_another_provider_keeps_loses_only_the_rows_of_the_first(stage: Stage) -> None:
    fill(stage)
    kept = delivery(months_ago(9), None, provider="solaris")
    stage.store(kept)
    before = stage.account()
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert f"receipts_{months_ago(9):%Y_%m}" in stage.partitions("receipts")
    assert f"receipts_{months_ago(8):%Y_%m}" not in stage.partitions("receipts")
    rows = stage.owner.execute("SELECT receipt FROM receipts ORDER BY receipt LIMIT 1").fetchall()
    assert (rows[0].receipt, stage.rows("bodies")) == (kept.receipt, 19)
    assert stage.account() == before


def test_bodies_go_before_their_receipts_and_dead_letters_are_announced(stage: Stage) -> None:
    fill(stage)
    configured = {"kompar": {"bodies": 3}}
    (row,) = pending(stage.owner, limits(stage.owner, configured))
    assert (row["rows"], row["dead_letters"]) == (27, 9)
    stage.apply(configured)
    assert (stage.rows("bodies"), stage.rows("receipts"), stage.account()["missing"]) == (9, 36, 0)
    (row,) = pending(stage.owner, limits(stage.owner, configured))
    assert (row["rows"], row["done_until"]) == (0, row["removes_before"])


def test_an_entity_stays_whole_while_its_newest_revision_is_young_and_a_repetition_after_it_went_is_new(
    stage: Stage,
) -> None:
    lives, gone = {"application_id": "lives", "offer_id": "1"}, {"application_id": "gone", "offer_id": "1"}
    stage.store(
        delivery(months_ago(9), lives | {"offer_id": "0", "phone": "070"}),
        delivery(months_ago(1), lives),
        delivery(months_ago(9), gone),
        delivery(months_ago(1), gone, seq=1),  # repeats it
    )
    stage.apply({"kompar": {"contents": 6}})
    rows = stage.owner.execute("SELECT application_id, phone, revision FROM reporting.kompar_decisions").fetchall()
    assert rows == [("lives", "070", 2)]
    assert (stage.rows("events"), stage.rows("receipts")) == (2, 4)
    again = delivery(NOW, gone)
    assert stage.ledgers["kompar"].store([again])[again.receipt].revision == 1


def test_the_overflow_ages_with_its_receipts(stage: Stage) -> None:
    for months in (9, 1):
        item = delivery(months_ago(months), None).received
        overflow.append(stage.owner, item.delivery, item.received_at)
    store = Overflow(stage.ledgers["kompar"].connected, "kompar")
    batch = store.claim("a")
    stage.ledgers["kompar"].store([ProcessedDelivery(item, InvalidDeliveryError("wrong-key", "")) for item in batch])
    store.acknowledge(batch)
    before = stage.account()
    assert (before["overflowed"], before["receipts"], before["missing"]) == (2, 2, 0)
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert stage.rows("overflow") == 1
    assert stage.account() == before


def test_a_run_that_was_interrupted_is_continued_and_audits_add_up_in_between(stage: Stage) -> None:
    fill(stage)
    before = stage.account()
    month = date(months_ago(12).year, months_ago(12).month, 1)
    stage.owner.execute("SELECT retire_month(%s, '{kompar}', true)", [month])
    assert (stage.rows("receipts"), stage.account()) == (33, before)
    stage.apply({"kompar": {"contents": 12}})
    assert (stage.rows("retired_receipts"), stage.account()) == (0, before)


def test_no_month_moves_during_an_audit(stage: Stage, database: str) -> None:
    fill(stage)
    before = stage.account()
    month = months_ago(12).date().replace(day=1)
    with connect(database, "other") as other:
        other.execute("SET lock_timeout = '100ms'")
        with audits.snapshot(stage.owner):
            stage.owner.execute("SELECT FROM accepted_losses")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT retire_month(%s, '{kompar}', true)", [month])
        other.execute("SELECT retire_month(%s, '{kompar}', true)", [month])
        with audits.snapshot(stage.owner):
            stage.owner.execute("SELECT FROM accepted_losses")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT archive_retired()")
        other.execute("SELECT archive_retired()")
    assert stage.account() == before


def test_a_month_waits_briefly_for_a_table_that_is_in_use_and_goes_later(stage: Stage, database: str) -> None:
    fill(stage)
    with connect(database, "other") as other:
        with other.transaction():
            other.execute("SELECT FROM receipts")
            run = Retention(stage.ledgers["kompar"], "kompar", {"kompar": {"contents": 6, "receipts": 6}}, seconds=0.5)
            with pytest.raises(PostponedError):
                list(run.apply())
            stage.store(delivery(NOW, {"application_id": "new"}))  # nothing waits behind it for good
        assert stage.rows("receipts") == 37
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert stage.rows("receipts") == 19


def test_a_month_that_another_provider_is_writing_to_stays(stage: Stage, database: str) -> None:
    fill(stage)
    month = months_ago(12).date().replace(day=1)
    found: list[bool] = []

    def retire() -> None:
        with connect(database, "retention") as connection:
            query = "SELECT retire_month(%s, '{kompar}', true) AS done"
            found.append(connection.execute(query, [month]).fetchall()[0].done)

    run = Thread(target=retire)
    with connect(database, "batch") as batch:
        with batch.transaction():
            query = """
                INSERT INTO receipts (receipt, provider, topic, outcome, received_at, epoch, seq)
                VALUES (%s, 'solaris', 'x', 'stored', %s, %s, 0)
            """
            late = delivery(months_ago(12), None, provider="solaris")
            batch.execute(query, [late.receipt, late.received.received_at, EPOCH])
            run.start()
            eventually(lambda: stage.owner.execute(WAITING).rowcount == 1, "the month waits for the batch")
        run.join()
    assert found == [False]
    assert (stage.rows("receipts"), stage.rows("bodies")) == (37, 36)


def test_while_a_month_is_removed_nothing_is_waited_for_that_batches_would_wait_for(
    stage: Stage, database: str
) -> None:
    fill(stage)
    month = months_ago(12).date().replace(day=1)
    tables = ("bodies", "answers", "retired_receipts", "receipts_other", f"receipts_{month:%Y_%m}")
    for table in tables:
        with connect(database, "reader") as reader, reader.transaction():
            reader.execute(f"LOCK TABLE ONLY {table} IN ACCESS SHARE MODE".encode())
            stage.owner.execute("SET lock_timeout = '1h'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                stage.owner.execute("SELECT retire_month(%s, '{kompar}', true)", [month])
    assert stage.owner.execute("SELECT retire_month(%s, '{kompar}', true)", [month]).fetchall() == [(True,)]


def test_two_runs_take_a_month_once(stage: Stage) -> None:
    fill(stage)
    before = stage.account()
    month = months_ago(12).date().replace(day=1)
    query = "SELECT retire_month(%s, '{kompar}', true)"
    assert [stage.owner.execute(query, [month]).fetchall() for _ in range(2)] == [[(True,)], [(False,)]]
    assert [stage.owner.execute("SELECT archive_retired()").fetchall() for _ in range(2)] == [[(3,)], [(0,)]]
    assert stage.owner.execute(query, [month]).fetchall() == [(True,)]  # nothing is left of it
    assert stage.account() == before


def test_a_removal_that_fails_half_way_changes_nothing_and_is_continued(stage: Stage) -> None:
    fill(stage)
    before = stage.account()
    stage.store(delivery(months_ago(9), None, provider="solaris"))  # so that rows go, and a month, too
    function = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space'; END $$"
    stage.owner.execute(function)
    for table, event in (("archived_counts", "INSERT"), ("dead_letters", "DELETE"), ("counted_periods", "UPDATE")):
        stage.ledgers["kompar"].close_periods()
        trigger = f"CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
        stage.owner.execute(trigger.encode())
        with pytest.raises(psycopg.errors.RaiseException):
            stage.apply({"kompar": {"contents": 6, "receipts": 6}})
        stage.owner.execute(f"DROP TRIGGER fail ON {table}".encode())
        assert stage.account() == before
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert (stage.rows("retired_receipts"), stage.account()) == (0, before)


def test_a_loss_that_later_entries_of_its_epoch_made_up_for_stays_known_after_their_month_was_removed(
    stage: Stage,
) -> None:
    at = months_ago(9)
    lost = {2, 3}  # Redis was set back behind the mark that counted four; two others were appended after it
    stage.store(*(delivery(at, None, seq=seq) for seq in {1, 2, 3, 4} - lost))
    early = HighWaterMark(EPOCH, 4, StreamId(int(at.timestamp() * 1000), 4))
    later = at + timedelta(hours=1)
    stage.store(delivery(later, None, seq=1), delivery(later, None, seq=2))
    late = HighWaterMark(EPOCH, 4, StreamId(int(later.timestamp() * 1000), 2))
    high_water_marks.record(stage.owner, [("kompar", early), ("kompar", late)])
    assert stage.account()["missing"] == 2
    stage.apply({"kompar": {"contents": 6, "receipts": 6}})
    assert (stage.rows("receipts"), stage.account()["missing"]) == (0, 2)
    high_water_marks.forget_confirmed(stage.worker, "kompar")
    assert stage.account()["missing"] == 2


@pytest.mark.parametrize("is_counted", [False, True])
def test_counts_for_dashboards_that_waited_for_a_month_have_it(stage: Stage, database: str, is_counted: bool) -> None:
    fill(stage)
    if is_counted:
        with stage.ledgers["kompar"].turn() as connection:
            periods.close(connection, "kompar", [months_ago(months) + timedelta(days=1) for months in range(12, 0, -1)])
        periods.recount(stage.worker, "kompar")
    query = "SELECT provider, stored, duplicate, dead FROM reporting.delivery_counts"
    before = stage.owner.execute(query).fetchall()
    found: list[Any] = []
    dashboard = database.replace("//kvitto@", "//kvitto_dashboard@")
    with connect(dashboard, "dashboard") as reader, connect(database, "retention") as retention:
        reading = Thread(target=lambda: found.extend(reader.execute(query).fetchall()))
        with retention.transaction():
            retention.execute("SELECT retire_month(%s, '{kompar}', true)", [months_ago(12).date().replace(day=1)])
            retention.execute("SELECT archive_retired()")
            reading.start()
            eventually(lambda: stage.owner.execute(WAITING).rowcount == 1, "the dashboard waits")
        reading.join()
    assert found == before


def test_bodies_go_with_the_events_that_an_erasure_would_find_them_by(stage: Stage) -> None:
    fill(stage)
    stage.apply({"kompar": {"contents": 6}})
    query = "SELECT receipt FROM receipts WHERE outcome IN ('stored', 'duplicate') EXCEPT SELECT receipt FROM events"
    without = {row.receipt for row in stage.owner.execute(query)}
    assert len(without) == 12
    assert without.isdisjoint(row.receipt for row in stage.owner.execute("SELECT receipt FROM bodies"))
    assert stage.rows("bodies") == 24


def test_what_retention_removes_leaves_the_feed_without_a_change_and_a_consumer_that_missed_some_is_marked(
    stage: Stage,
) -> None:
    def consumers() -> dict[str, bool]:
        query = "SELECT consumer, has_missed FROM reporting.feed_consumers"
        return {row.consumer: row.has_missed for row in stage.owner.execute(query)}

    for months in range(12, 0, -1):
        stage.store(delivery(months_ago(months), {"application_id": f"a{months}"}))
    feed = "SELECT position, change FROM reporting.read_feed(%s, 'kompar')"
    positions = [row.position for row in stage.owner.execute(feed, ["prompt"])]
    assert len(positions) == 12
    stage.owner.execute("SELECT reporting.confirm_feed('prompt', 'kompar', %s)", [positions[-1]])
    stage.owner.execute(feed, ["away"])
    stage.owner.execute("SELECT reporting.confirm_feed('away', 'kompar', %s)", [positions[2]])
    assert consumers() == {"prompt": False, "away": False}

    stage.apply({"kompar": {"contents": 6}})
    assert stage.owner.execute(feed, ["prompt"]).fetchall() == []
    assert stage.owner.execute(feed, ["new"]).fetchall() == [(position, "new") for position in positions[6:]]
    assert consumers() == {"prompt": False, "away": True, "new": False}
    assert stage.owner.execute(feed, ["away"]).fetchall() == [(position, "new") for position in positions[6:]]
    stage.owner.execute("SELECT reporting.confirm_feed('away', 'kompar', %s)", [positions[-1]])
    assert consumers() == {"prompt": False, "away": False, "new": False}

    again = delivery(NOW, {"application_id": "a12"})
    stage.store(again)
    (row,) = stage.owner.execute("SELECT * FROM reporting.read_feed('prompt', 'kompar')").fetchall()
    assert (row.receipt, row.change, row.revision) == (again.receipt, "new", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT retire_month(date_trunc('month', now())::date, '{kompar}', true)",
        "SELECT retire_receipts('kompar', now(), 10)",
        "SELECT * FROM remove_bodies('kompar', now(), '00000000-0000-0000-0000-000000000000', 10)",
        "SELECT * FROM remove_entities('kompar', now(), '-infinity', '00000000-0000-0000-0000-000000000000', 10)",
    ],
)
def test_a_worker_removes_nothing_that_is_younger_than_four_weeks(stage: Stage, statement: str) -> None:
    with (
        stage.ledgers["kompar"].connected() as connection,
        pytest.raises(psycopg.errors.InvalidParameterValue, match="younger than four weeks"),
    ):
        connection.execute(statement.encode())
