"""A worker's consumer: deliveries and servers that fail."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.crypto.digests import Fingerprints
from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.processing.processor import DeliveryProcessor
from app.providers.kompar.events import Kompar
from app.storage import overflow
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from workers.batch import BatchProcessor, Source
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

SEALS = SealingKeys((("a", b"s" * 32),))
KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "kompar")


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[ConsumerSlot]:
    consumer_slot = ConsumerSlot(tmp_path)
    yield consumer_slot
    consumer_slot.release()


@pytest.fixture
def consumer(redis: Redis, database: str, slot: ConsumerSlot) -> Iterator[InboxConsumer]:
    ledger = Ledger(database, "kompar")
    yield consumer_of(slot, ledger, redis)
    ledger.close()


def consumer_of(slot: ConsumerSlot, ledger: Ledger, redis: Redis) -> InboxConsumer:
    canaries = CanaryConsumer(Inbox(redis, "canary/kompar"), ledger, SEALS, "kompar")
    processor = BatchProcessor(DeliveryProcessor(SEALS, KOMPAR), ledger)
    return InboxConsumer(Inbox(redis, "kompar"), processor, slot, lambda: None, canaries)


def append(inbox: Inbox, *application_ids: str) -> None:
    for application_id in application_ids:
        inbox.append(delivery(application_id))


def delivery(application_id: str, **content: Any) -> Delivery:
    receipt = uuid7()
    body = json.dumps({"application_id": application_id, "accepted": True} | content).encode()
    return Delivery(receipt, "kompar", "decisions", {}, SEALS.seal(receipt, body))


def deliveries(connection: Connection) -> dict[str | None, tuple[Any, ...]]:
    rows = connection.execute("SELECT entity_id, outcome, reason FROM reporting.deliveries")
    return {row.entity_id: (row.outcome, row.reason) for row in rows}


IDS = [f"id-{number}" for number in range(10)]


def test_drain_empties_the_inbox(consumer: InboxConsumer, inbox: Inbox, connection: Connection) -> None:
    append(inbox, *IDS)
    consumer.drain()
    assert inbox.backlog().entries == 0
    assert deliveries(connection) == dict.fromkeys(IDS, ("stored", None))


def test_sweep_records_how_complete_the_ledger_is(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection
) -> None:
    append(inbox, "a")
    consumer.sweep()
    (row,) = connection.execute("SELECT * FROM reporting.freshness")
    (last,) = connection.execute("SELECT received_at FROM reporting.deliveries")
    assert row.pending == 0
    assert row.complete_until > last.received_at - timedelta(seconds=3)


@pytest.mark.parametrize("how", ["acknowledged", "group moved ahead"])
def test_sweep_processes_entries_that_another_client_made_the_group_skip(
    consumer: InboxConsumer, inbox: Inbox, redis: Redis, connection: Connection, how: str
) -> None:
    append(inbox, *IDS)
    if how == "acknowledged":
        claimed = inbox.claim("another")
        redis.xack("inbox:kompar", "workers", *(str(received.stream_id) for received in claimed))
    else:
        inbox.open()
        redis.xgroup_setid("inbox:kompar", "workers", "$")
    consumer.sweep()
    assert inbox.backlog().entries == 0
    assert deliveries(connection) == dict.fromkeys(IDS, ("stored", None))


def test_recover_skipped_leaves_claims_alone(inbox: Inbox) -> None:
    append(inbox, "a", "b")
    assert inbox.recover_skipped() == 0
    claimed = inbox.claim("a")
    assert inbox.recover_skipped() == 0
    inbox.acknowledge(claimed[:1])
    assert inbox.recover_skipped() == 0
    assert len(inbox.pending("a")) == 1


def test_a_delivery_that_cannot_be_stored_becomes_a_dead_letter_and_the_others_are_stored(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection
) -> None:
    connection.execute("ALTER TABLE kompar_decisions ADD CONSTRAINT not_three CHECK (entity_id <> 'id-3')")
    append(inbox, *IDS)
    consumer.drain()
    assert inbox.backlog().entries == 0
    outcomes = deliveries(connection)
    assert outcomes.pop(None) == ("dead", "rejected-by-database")
    assert outcomes == {name: ("stored", None) for name in IDS if name != "id-3"}
    (letter,) = connection.execute("SELECT detail FROM reporting.dead_letters")
    assert letter.detail == "23514: not_three"


def test_several_deliveries_that_fail_alike_stay_in_the_inbox(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    connection.execute("ALTER TABLE kompar_decisions ADD CONSTRAINT not_two CHECK (entity_id NOT IN ('id-3', 'id-7'))")
    append(inbox, *IDS)
    consumer.drain()
    assert inbox.backlog().entries == 2
    assert deliveries(connection) == {name: ("stored", None) for name in IDS if name not in ("id-3", "id-7")}
    assert caplog.text.count("delivery_stuck") == 2
    connection.execute("ALTER TABLE kompar_decisions DROP CONSTRAINT not_two")
    consumer.drain()
    assert deliveries(connection) == dict.fromkeys(IDS, ("stored", None))


def test_an_unexpected_error_leaves_all_deliveries_in_the_inbox(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    append(inbox, "a", "b")
    connection.execute("ALTER TABLE kompar_decisions RENAME TO elsewhere")
    consumer.drain()
    assert inbox.backlog().entries == 2
    assert "delivery_stuck" in caplog.text
    connection.execute("ALTER TABLE elsewhere RENAME TO kompar_decisions")
    consumer.drain()
    assert deliveries(connection) == {"a": ("stored", None), "b": ("stored", None)}


def test_a_failed_server_only_delays_deliveries(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    append(inbox, "a")
    consumer.drain()
    connection.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name LIKE 'kvitto-ledger%' AND datname = current_database()
        """
    )
    append(inbox, "b")
    consumer.drain()
    assert "postgres-unavailable" in str([record.__dict__.get("reason") for record in caplog.records])
    assert inbox.backlog().entries == 1
    consumer.sweep()
    assert deliveries(connection) == {"a": ("stored", None), "b": ("stored", None)}


def test_a_lost_acknowledgement_is_repeated(
    consumer: InboxConsumer, inbox: Inbox, slot: ConsumerSlot, connection: Connection
) -> None:
    inbox.append(delivery("a", color="red"))  # a key that is not declared: it is counted once
    claimed = inbox.claim(slot.name)
    processor = BatchProcessor(DeliveryProcessor(SEALS, KOMPAR), consumer.ledger)
    processor.process(_UnacknowledgingInbox(inbox), claimed)
    processor.observations.record()
    assert inbox.backlog().entries == 1
    consumer.drain()
    assert inbox.backlog().entries == 0
    assert deliveries(connection) == {"a": ("stored", None)}
    assert [row.deliveries for row in connection.execute("SELECT deliveries FROM reporting.schema_drift")] == [1]
    assert list(connection.execute("SELECT * FROM duplicate_entries")) == []


class _UnacknowledgingInbox(Inbox):
    """An inbox whose acknowledgements are lost on the way."""

    def __init__(self, inbox: Inbox) -> None:
        self.provider = inbox.provider

    def acknowledge(self, batch: object) -> None:
        pass


def test_sweep_processes_the_claims_of_a_dead_slot(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection, tmp_path: Path
) -> None:
    dead, alive = ConsumerSlot(tmp_path), ConsumerSlot(tmp_path)
    append(inbox, "a", "b")
    assert len(inbox.claim(dead.name)) == 2
    append(inbox, "c")
    assert len(inbox.claim(alive.name)) == 1
    dead.release()
    consumer.sweep()
    assert deliveries(connection).keys() == {"a", "b"}
    alive.release()


@pytest.fixture
def other(redis: Redis, database: str, tmp_path: Path) -> Iterator[InboxConsumer]:
    """A second worker's consumer."""
    slot, ledger = ConsumerSlot(tmp_path), Ledger(database, "kompar")
    yield consumer_of(slot, ledger, redis)
    ledger.close()
    slot.release()


def append_to(store: str, consumer: InboxConsumer, connection: Connection, application_id: str) -> Source:
    """Append a delivery to the inbox or the overflow; return the source."""
    if store == "inbox":
        append(consumer.inbox, application_id)
        return consumer.inbox
    overflow.append(connection, delivery(application_id), datetime.now(UTC))
    return consumer.overflow


@pytest.mark.parametrize("store", ["inbox", "overflow"])
def test_deliveries_that_one_worker_cannot_store_are_left_to_others(
    consumer: InboxConsumer,
    other: InboxConsumer,
    connection: Connection,
    store: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    append_to(store, consumer, connection, "a")
    with failing(connection, "53100"):
        consumer.drain()
    skipped = [vars(record) for record in caplog.records if record.message == "store_unavailable_skipped"]
    assert {(line["reason"], line["detail"]) for line in skipped} == {
        ("postgres-unavailable", "its disk is full (53100)")
    }
    assert deliveries(connection) == {}
    other.sweep()
    assert deliveries(connection) == {"a": ("stored", None)}


@pytest.mark.parametrize("store", ["inbox", "overflow"])
def test_what_an_interrupted_drain_claimed_is_processed_by_the_next(
    consumer: InboxConsumer, connection: Connection, store: str
) -> None:
    """Postgres cannot take that a consumer lets go of what it has claimed in the overflow, as when it is gone."""
    source = append_to(store, consumer, connection, "a")
    with failing(connection, "57P01"):
        connection.execute(
            """
            CREATE TRIGGER fail BEFORE UPDATE ON overflow
            FOR EACH ROW WHEN (NEW.claimed_at IS NULL) EXECUTE FUNCTION fail()
            """
        )
        consumer.drain()
    assert len(source.consumers_with_claims()) == 1
    consumer.drain()
    assert deliveries(connection) == {"a": ("stored", None)}


@pytest.mark.parametrize("store", ["inbox", "overflow"])
def test_start_releases_the_claims_of_a_predecessor(
    consumer: InboxConsumer, other: InboxConsumer, slot: ConsumerSlot, connection: Connection, store: str
) -> None:
    assert len(append_to(store, consumer, connection, "a").claim(slot.name)) == 1
    consumer.start()
    other.sweep()
    assert deliveries(connection) == {"a": ("stored", None)}


@contextmanager
def failing(connection: Connection, sqlstate: str) -> Iterator[None]:
    """Make the server refuse receipts with an error of its own."""
    connection.execute(
        f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON receipts EXECUTE FUNCTION fail()
        """
    )
    yield
    connection.execute("DROP FUNCTION fail CASCADE")


def test_a_delivery_that_never_ends_blocks_no_other(
    consumer: InboxConsumer, inbox: Inbox, connection: Connection
) -> None:
    connection.execute(
        """
        CREATE FUNCTION kvitto.slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.entity_id = 'slow' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON kvitto.kompar_decisions FOR EACH ROW EXECUTE FUNCTION kvitto.slow()
        """
    )
    with consumer.ledger.connected() as own:
        own.execute("SET statement_timeout = '300ms'")
    append(inbox, "slow", "a", "b")
    for _ in range(8):
        consumer.sweep()
    assert deliveries(connection).keys() == {"a", "b"}
    append(inbox, "new")
    consumer.sweep()
    assert deliveries(connection).keys() == {"a", "b", "new"}
    connection.execute("DROP TRIGGER slow ON kvitto.kompar_decisions")
    consumer.sweep()
    assert deliveries(connection) == dict.fromkeys(("a", "b", "new", "slow"), ("stored", None))
