"""A Redis that lost entries and went on: the audit names every one, whatever was appended afterwards."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.audit.conservation import ProviderBalance, audit
from app.inbox.stream import Inbox
from app.ingest.receipt_clock import ReceiptClock
from app.storage import high_water_marks
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_consumer import consumer_of, delivery
from tests.support.redis_server import RedisServer, redis_server
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot

KEPT, LOST = 5, 4
HOUR_MS = 3_600_000


class Edge:
    """An ingest process: its inbox, its clock, and what it has not reported yet."""

    def __init__(self, redis: Redis, connection: Connection) -> None:
        self._clock = ReceiptClock()
        self.inbox = Inbox(redis, "kompar", time_ms=lambda: self._clock.time_ms("kompar"))
        self._connection = connection
        self.exchange()

    def append(self, count: int) -> None:
        """Append deliveries, each with a 200, and report the last mark."""
        for number in range(count):
            mark = self.inbox.append(delivery(f"id-{number}")).mark
            self._clock.observe("kompar", mark.last_id.ms)
            high_water_marks.record(self._connection, [("kompar", mark)])

    def set_clock(self, now: datetime) -> None:
        """Follow a clock of Postgres that says this."""
        self._clock.synchronise(now, time.monotonic())

    def exchange(self) -> None:
        """Learn what the other edges reported."""
        for received_at in high_water_marks.newest_receipts(self._connection, ["kompar"])[1].values():
            self._clock.observe("kompar", round(received_at.timestamp() * 1000))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as started:
        yield started


@pytest.fixture
def consumer(server: RedisServer, database: str, tmp_path: Path) -> Iterator[InboxConsumer]:
    ledger, slot = Ledger(database, "kompar"), ConsumerSlot(tmp_path)
    yield consumer_of(slot, ledger, server.client)
    ledger.close()
    slot.release()


def balance(connection: Connection, redis: Redis) -> ProviderBalance:
    return audit(connection, Inbox(redis, "kompar"))


def set_back(server: RedisServer, connection: Connection, consumer: InboxConsumer) -> Edge:
    """Lose LOST of an edge's confirmed entries: the server goes on from an older copy of its folder."""
    busy = Edge(server.client, connection)
    busy.append(KEPT)
    consumer.sweep()
    copied = server.copy()
    busy.append(LOST)
    server.set_back(copied)
    return busy


@pytest.mark.parametrize("first", [0, LOST - 1, LOST, LOST + 3])
def test_audit_after_a_set_back_names_each_entry_whatever_an_idle_edge_appends_first(
    server: RedisServer, connection: Connection, consumer: InboxConsumer, first: int
) -> None:
    idle = Edge(server.client, connection)
    busy = set_back(server, connection, consumer)
    assert balance(connection, server.client).missing == LOST
    idle.append(first)
    found = balance(connection, server.client)
    assert (found.missing, found.in_flight) == (LOST, first)
    busy.append(2 * LOST)
    found = balance(connection, server.client)
    assert (found.missing, found.in_flight) == (LOST, first + 2 * LOST)
    consumer.sweep()
    found = balance(connection, server.client)
    (loss,) = found.losses()
    assert (found.missing, found.in_flight, loss["missing"]) == (LOST, 0, LOST)
    assert found.row()["receipts"] == KEPT + first + 2 * LOST


def test_audit_after_a_set_back_names_each_entry_if_clocks_are_behind(
    server: RedisServer, connection: Connection, consumer: InboxConsumer
) -> None:
    idle = Edge(server.client, connection)
    busy = set_back(server, connection, consumer)
    for edge in (idle, busy):
        edge.exchange()
        edge.set_clock(datetime.now(UTC) - timedelta(hours=1))
    idle.append(2 * LOST)
    busy.append(2 * LOST)
    assert balance(connection, server.client).missing == LOST
    consumer.sweep()
    found = balance(connection, server.client)
    assert (found.missing, found.in_flight) == (LOST, 0)


def test_an_append_after_a_set_back_begins_another_epoch_even_if_others_made_up_for_the_count(
    server: RedisServer, connection: Connection, consumer: InboxConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    idle = Edge(server.client, connection)
    busy = set_back(server, connection, consumer)
    before = idle.inbox.mark()
    idle.append(3 * LOST)
    assert idle.inbox.mark().epoch == before.epoch
    busy.append(1)
    after = idle.inbox.mark()
    assert (after.epoch > before.epoch, after.appended) == (True, 1)
    assert caplog.messages.count("epoch_ended") == 1
    idle.append(1)
    busy.append(1)
    assert (idle.inbox.mark().epoch, idle.inbox.mark().appended) == (after.epoch, 3)


def test_a_set_back_to_a_copy_of_an_earlier_epoch_is_noticed(
    server: RedisServer, connection: Connection, consumer: InboxConsumer
) -> None:
    busy = Edge(server.client, connection)
    busy.append(KEPT)
    consumer.sweep()
    copied = server.copy()
    busy.append(LOST)
    server.client.flushall()
    busy.append(3)
    server.set_back(copied)
    busy.append(20)
    assert balance(connection, server.client).missing == LOST + 3
    consumer.sweep()
    assert [loss["missing"] for loss in balance(connection, server.client).losses()] == [LOST, 3]


def test_a_sweep_ends_the_epoch_of_an_inbox_that_is_behind_the_marks(
    server: RedisServer, connection: Connection, consumer: InboxConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    set_back(server, connection, consumer)
    before = consumer.inbox.mark()
    consumer.sweep()
    after = consumer.inbox.mark()
    assert (after.epoch > before.epoch, after.appended) == (True, 0)
    assert caplog.messages.count("inbox_set_back") == 1
    restarted = Edge(server.client, connection)
    restarted.append(3 * LOST)
    consumer.sweep()
    assert consumer.inbox.mark().epoch == after.epoch
    assert balance(connection, server.client).missing == LOST


def test_a_mark_of_a_sweep_alone_is_kept_although_later_marks_are_higher(
    server: RedisServer, connection: Connection, consumer: InboxConsumer
) -> None:
    """The edge that appended was killed before it reported, and another one appended before the next sweep."""
    killed = Inbox(server.client, "kompar")
    killed.append(delivery("a"))
    copied = server.copy()
    for _ in range(LOST):
        killed.append(delivery("b"))
    high_water_marks.record(connection, [("kompar", consumer.inbox.mark())])
    server.set_back(copied)
    Edge(server.client, connection).append(3 * LOST)
    consumer.sweep()
    consumer.sweep()
    assert balance(connection, server.client).missing == LOST


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_audit_after_a_fail_over_names_what_the_promoted_replica_lacked(
    server: RedisServer, connection: Connection, tmp_path: Path, is_cut_off: bool
) -> None:
    with redis_server(tmp_path / "replica") as replica:
        replica.follow(server.client)
        edge = Edge(server.client, connection)
        edge.append(KEPT)
        replica.await_caught_up(server.client)
        if is_cut_off:
            replica.promote()
        edge.append(LOST)
        if not is_cut_off:
            replica.await_caught_up(server.client)
            replica.promote()
        server.kill()
        missing, kept = (LOST, KEPT) if is_cut_off else (0, KEPT + LOST)
        Edge(replica.client, connection).append(2 * LOST)
        found = balance(connection, replica.client)
        assert (found.missing, found.in_flight) == (missing, kept + 2 * LOST)


def delete_stream(redis: Redis) -> int:
    waiting = redis.xlen("inbox:kompar")
    redis.delete("inbox:kompar")
    return int(waiting)


def delete_state(redis: Redis) -> int:
    redis.delete("inbox:kompar:state")
    return 0


def delete_both(redis: Redis) -> int:
    redis.delete("inbox:kompar:state")
    return delete_stream(redis)


def delete_one_entry(redis: Redis) -> int:
    entries: Any = redis.xrange("inbox:kompar")
    redis.xdel("inbox:kompar", entries[1][0])
    return 1


def trim(redis: Redis) -> int:
    redis.xtrim("inbox:kompar", maxlen=1, approximate=False)
    return LOST - 1


def move_last_id(redis: Redis) -> int:
    ahead = int(redis.time()[0]) * 1000 + HOUR_MS
    redis.execute_command("XSETID", "inbox:kompar", f"{ahead}-0", "ENTRIESADDED", 10_000)  # type: ignore[no-untyped-call]
    return 0


def trim_and_move_last_id(redis: Redis) -> int:
    lost = trim(redis)
    last: Any = redis.xrange("inbox:kompar")
    last_id = last[0][0]
    redis.execute_command("XSETID", "inbox:kompar", last_id, "ENTRIESADDED", 1)  # type: ignore[no-untyped-call]
    return lost


def set_counter_back(redis: Redis) -> int:
    lost = trim(redis)
    redis.hset("inbox:kompar:state", "appended", str(KEPT + LOST - lost))
    return lost


def add_foreign_entry_in_the_future(redis: Redis) -> int:
    redis.xadd("inbox:kompar", {"something": "else"}, id=f"{int(redis.time()[0]) * 1000 + HOUR_MS}-0")
    return delete_one_entry(redis)


@pytest.mark.parametrize(
    "tamper",
    [
        delete_stream, delete_state, delete_both, delete_one_entry, trim, move_last_id, trim_and_move_last_id,
        set_counter_back, add_foreign_entry_in_the_future,
    ],
)  # fmt: skip
def test_audit_names_each_entry_that_another_client_removed(
    redis: Redis,
    connection: Connection,
    database: str,
    tmp_path: Path,
    tamper: Callable[[Redis], int],
) -> None:
    ledger, slot = Ledger(database, "kompar"), ConsumerSlot(tmp_path)
    consumer = consumer_of(slot, ledger, redis)
    edge, idle = Edge(redis, connection), Edge(redis, connection)
    edge.append(KEPT)
    consumer.sweep()
    edge.append(LOST)
    lost = tamper(redis)
    assert balance(connection, redis).missing == lost
    idle.append(2 * LOST)
    edge.append(2 * LOST)
    assert balance(connection, redis).missing == lost
    for _ in range(2):
        consumer.sweep()
        found = balance(connection, redis)
        assert (found.missing, found.in_flight) == (lost, 0)
    assert found.row()["receipts"] == KEPT + LOST - lost + 4 * LOST
    ledger.close()
    slot.release()
