"""The inbox, on a real Redis-compatible server."""

import os
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery, ReceivedDelivery
from app.errors import StoreUnavailableError
from app.inbox.client import durability_errors
from app.inbox.stream import Inbox


def delivery(size: int = 10) -> Delivery:
    return Delivery(uuid7(), "kompar", "applications", {"Solaris-Webhook-Id": "wh-ö"}, os.urandom(size))


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "kompar")


def receipts(batch: list[ReceivedDelivery]) -> list[UUID]:
    return [received.delivery.receipt for received in batch]


def test_claim_returns_deliveries_unchanged_even_from_before_the_group(inbox: Inbox) -> None:
    sent = [delivery(), delivery()]
    for sent_delivery in sent:
        inbox.append(sent_delivery)
    assert [received.delivery for received in inbox.claim("a")] == sent
    assert inbox.claim("a") == []


def test_receipts_lists_all_waiting_entries_claimed_or_not_large_or_not(inbox: Inbox) -> None:
    assert inbox.receipts() == set()
    sent = [delivery(size) for size in (*[10] * 1234, *[1_000_000] * 12)]
    for sent_delivery in sent:
        inbox.append(sent_delivery)
    claimed = inbox.claim("a")
    assert inbox.receipts() == {sent_delivery.receipt for sent_delivery in sent}
    inbox.acknowledge(claimed)
    assert inbox.receipts() == {sent_delivery.receipt for sent_delivery in sent} - set(receipts(claimed))


def test_only_the_first_append_asks_for_a_wakeup_until_it_is_cleared(inbox: Inbox) -> None:
    assert [inbox.append(delivery()).publish_wakeup for _ in range(3)] == [True, False, False]
    inbox.clear_wakeup()
    assert inbox.append(delivery()).publish_wakeup


def test_pending_returns_the_claims_of_a_predecessor_of_the_same_name(inbox: Inbox, redis: Redis) -> None:
    for _ in range(3):
        inbox.append(delivery())
    claimed = inbox.claim("a")
    successor = Inbox(redis, "kompar")
    assert receipts(successor.pending("a")) == receipts(claimed)
    assert successor.pending("a", after=claimed[-1].stream_id) == []
    assert successor.pending("b") == []


def test_claim_abandoned_takes_released_claims_and_not_those_in_progress(inbox: Inbox) -> None:
    inbox.append(delivery())
    claimed = inbox.claim("a")
    inbox.claim_abandoned("b")
    assert inbox.pending("b") == []
    inbox.release("a")
    inbox.claim_abandoned("b")
    assert receipts(inbox.pending("b")) == receipts(claimed)
    assert inbox.pending("a") == []


def test_claim_abandoned_takes_the_claims_of_an_idle_consumer(inbox: Inbox, redis: Redis) -> None:
    inbox.append(delivery())
    (claimed,) = inbox.claim("dead")
    redis.xclaim("inbox:kompar", "workers", "dead", 0, [str(claimed.stream_id)], idle=90_001, justid=True)
    inbox.claim_abandoned("b")
    assert receipts(inbox.pending("b")) == [claimed.delivery.receipt]


def test_acknowledge_deletes_entries(inbox: Inbox, redis: Redis) -> None:
    inbox.append(delivery())
    inbox.acknowledge(inbox.claim("a"))
    assert redis.xlen("inbox:kompar") == 0
    assert inbox.pending("a") == []


def test_a_missing_group_is_created_and_no_entry_is_skipped(inbox: Inbox, redis: Redis) -> None:
    inbox.append(delivery())
    claimed = inbox.claim("a")
    redis.xgroup_destroy("inbox:kompar", "workers")
    assert receipts(inbox.claim("a")) == receipts(claimed)


def test_an_emptied_server_gets_a_new_epoch(inbox: Inbox, redis: Redis) -> None:
    inbox.append(delivery())
    before = inbox.mark()
    redis.flushall()
    inbox.append(delivery())
    after = inbox.mark()
    assert (before.appended, after.appended) == (1, 1)
    assert before.epoch != after.epoch
    (received,) = inbox.claim("a")
    assert received.epoch == after.epoch


def test_claim_returns_the_epoch_that_another_process_opened(inbox: Inbox, redis: Redis) -> None:
    inbox.append(delivery())
    (before,) = inbox.claim("a")
    redis.flushall()
    info = Inbox(redis, "kompar").mark()
    inbox.append(delivery())
    (after,) = inbox.claim("a")
    assert after.epoch == info.epoch != before.epoch


def test_batches_are_bounded_in_entries(inbox: Inbox) -> None:
    for _ in range(501):
        inbox.append(delivery())
    assert [len(inbox.claim("a")) for _ in range(3)] == [500, 1, 0]


def test_a_full_batch_is_claimed_in_two_steps(inbox: Inbox, redis: Redis) -> None:
    """Each costs a round trip, and the server an fsync."""
    inbox.open()
    for _ in range(501):
        inbox.append(delivery())
    before = redis.info("commandstats")["cmdstat_eval"]["calls"]
    assert len(inbox.claim("a")) == 500
    assert redis.info("commandstats")["cmdstat_eval"]["calls"] == before + 2


def test_batches_are_bounded_in_bytes(inbox: Inbox) -> None:
    for _ in range(50):
        inbox.append(delivery(400_000))
    sizes = []
    while batch := inbox.claim("a"):
        sizes.append(len(batch))
    assert sum(sizes) == 50
    assert max(sizes) * 400_000 <= 8 * 1024 * 1024 + 10 * 400_000


def test_large_entries_behind_small_ones_do_not_fill_the_memory(inbox: Inbox) -> None:
    for size in [300] * 20 + [2_000_000] * 30:
        inbox.append(delivery(size))
    sizes = []
    while batch := inbox.claim("a"):
        sizes.append(sum(len(received.delivery.sealed) for received in batch))
    assert sum(sizes) == 20 * 300 + 30 * 2_000_000
    assert max(sizes) <= 8 * 1024 * 1024 + 10 * 2_000_000


def test_backlog_has_the_time_of_the_oldest_waiting_entry(inbox: Inbox) -> None:
    assert (inbox.backlog().entries, inbox.backlog().oldest_at) == (0, None)
    inbox.append(delivery())
    inbox.append(delivery())
    pending = inbox.backlog()
    claimed = inbox.claim("a")
    assert (pending.entries, pending.oldest_at) == (2, claimed[0].received_at)
    inbox.acknowledge(claimed[:1])
    assert inbox.backlog().oldest_at == claimed[1].received_at


def test_waiting_lists_all_entries_with_their_epoch(inbox: Inbox) -> None:
    for count in (1000, 1000, 203):
        inbox.append_all([delivery() for _ in range(count)])
    mark, waiting = inbox.mark(), inbox.waiting()
    assert mark.appended == len(waiting) == len(set(waiting)) == 2203
    assert waiting[-1][:2] == (mark.epoch, mark.last_id)
    assert {entry.epoch for entry in waiting} == {mark.epoch}


def test_time_of_receipt_is_that_of_the_edge_and_never_goes_back(redis: Redis) -> None:
    times = iter([5_000, 5_000, 3_000, 3_000, 9_000])
    inbox = Inbox(redis, "kompar", time_ms=lambda: next(times))
    ids = [inbox.append(delivery()).mark.last_id for _ in range(5)]
    assert ids == [(5_000, 0), (5_000, 1), (5_001, 0), (5_002, 0), (9_000, 0)]


def test_an_append_moves_back_the_last_id_that_another_client_moved_ahead(redis: Redis) -> None:
    inbox = Inbox(redis, "kompar", time_ms=lambda: 5_000)
    inbox.append(delivery())
    redis.execute_command("XSETID", "inbox:kompar", "9999999999999999-0")  # type: ignore[no-untyped-call]
    assert inbox.append(delivery()).mark.last_id == (5_000, 1)
    inbox.acknowledge(inbox.claim("a"))
    redis.execute_command("XSETID", "inbox:kompar", "7000-0")  # type: ignore[no-untyped-call]
    assert inbox.append(delivery()).mark.last_id > (5_000, 1)


def test_an_append_behind_an_entry_that_another_client_put_in_the_future_follows_it_within_reason(
    inbox: Inbox, redis: Redis
) -> None:
    hour_ahead = (int(redis.time()[0]) + 3600) * 1000
    redis.xadd("inbox:kompar", {"something": "else", "epoch": "none"}, id=f"{hour_ahead}-0")
    followed = inbox.append(delivery()).mark
    assert followed.last_id > (hour_ahead, 0)
    redis.xadd("inbox:kompar", {"something": "else"}, id="9999999999999999-0")
    with pytest.raises(StoreUnavailableError):
        inbox.append(delivery())
    assert [entry[:2] for entry in inbox.waiting()] == [(followed.epoch, followed.last_id)]


def test_an_epoch_ends_when_many_writers_have_appended_in_it(redis: Redis) -> None:
    marks = [Inbox(redis, "kompar").append(delivery()).mark for _ in range(120)]
    assert len({mark.epoch for mark in marks}) == 2
    assert redis.hlen("inbox:kompar:state") < 110


def test_waiting_includes_large_entries(inbox: Inbox) -> None:
    appended = [inbox.append(delivery(1_000_000)).mark.last_id for _ in range(25)]
    assert [entry.stream_id for entry in inbox.waiting()] == appended


def test_append_returns_the_epoch_of_its_entry(inbox: Inbox, redis: Redis) -> None:
    """Even the first append after the server was emptied, before any process opened the inbox."""
    for _ in range(2):
        redis.flushall()
        first, second = inbox.append(delivery()), inbox.append(delivery())
        assert [received.epoch for received in inbox.claim("a")] == [first.mark.epoch, second.mark.epoch]
        assert inbox.mark().epoch == first.mark.epoch


def test_an_unreadable_entry_stays_in_the_inbox(inbox: Inbox, redis: Redis) -> None:
    redis.xadd("inbox:kompar", {"something": "else"})
    inbox.append(delivery())
    assert len(inbox.claim("a")) == 1
    assert redis.xlen("inbox:kompar") == 2


def test_an_entry_of_a_newer_format_stays_for_a_newer_release(
    inbox: Inbox, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.append(delivery())
    entries: Any = redis.xrange("inbox:kompar")
    ((stream_id, fields),) = entries
    redis.xdel("inbox:kompar", stream_id)
    redis.xadd("inbox:kompar", fields | {b"v": b"2"})
    assert inbox.claim("a") == []
    assert redis.xlen("inbox:kompar") == 1
    assert [record.message for record in caplog.records] == ["entry_unreadable"]


def test_many_unreadable_entries_do_not_hide_pending_entries(inbox: Inbox, redis: Redis) -> None:
    for _ in range(600):
        redis.xadd("inbox:kompar", {"something": "else"})
    inbox.append(delivery())
    assert len(inbox.claim("a")) == 1
    assert len(inbox.pending("a")) == 1


def test_idle_seconds_excludes_the_named_consumer(inbox: Inbox) -> None:
    assert inbox.idle_seconds(exclude="me") == float("inf")
    inbox.claim("me")
    assert inbox.idle_seconds(exclude="me") == float("inf")
    inbox.claim("another")
    assert inbox.idle_seconds(exclude="me") < float("inf")


def test_a_full_server_refuses_appends_and_is_drained_even_by_a_new_worker(inbox: Inbox, redis: Redis) -> None:
    assert inbox.claim("a") == []
    inbox.append(delivery())
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailableError) as caught:
            inbox.append(delivery())
        assert caught.value.reason == "redis-full"
        starting = Inbox(redis, "kompar")
        starting.release("a")
        starting.claim_abandoned("a")
        starting.acknowledge(starting.claim("a"))
    finally:
        redis.config_set("maxmemory", 0)
    assert inbox.backlog().entries == 0


def test_durability_errors_report_a_changed_appendfsync(redis: Redis) -> None:
    assert durability_errors(redis) == []
    redis.config_set("appendfsync", "everysec")
    try:
        assert [fault.name for fault in durability_errors(redis)] == ["redis appendfsync"]
    finally:
        redis.config_set("appendfsync", "always")


def test_durability_errors_report_a_writable_replica(redis: Redis) -> None:
    redis.config_set("replica-read-only", "no")
    redis.replicaof("127.0.0.1", "1")
    try:
        assert [fault.name for fault in durability_errors(redis)] == ["redis replica-read-only"]
    finally:
        redis.replicaof("NO", "ONE")
        redis.config_set("replica-read-only", "yes")
    assert durability_errors(redis) == []


def test_consumers_that_are_idle_and_hold_no_claim_are_removed(inbox: Inbox, redis: Redis) -> None:
    inbox.append_all([delivery(), delivery()])
    inbox.acknowledge(inbox.claim("gone/1"))
    inbox.append(delivery())
    claimed = inbox.claim("holds/1")
    assert inbox.remove_idle_consumers(timedelta(days=1)) == 0
    assert inbox.remove_idle_consumers(timedelta(0)) == 1
    assert [entry["name"] for entry in redis.xinfo_consumers("inbox:kompar", "workers")] == [b"holds/1"]
    assert [each.stream_id for each in inbox.pending("holds/1")] == [each.stream_id for each in claimed]
    redis.delete("inbox:kompar")
    assert inbox.remove_idle_consumers(timedelta(0)) == 0


@pytest.mark.slow
def test_nothing_but_what_waits_grows_in_redis_over_a_month(redis: Redis) -> None:
    """Each hour workers restart under other names, ingest processes too, and everything is processed."""

    def hour(number: int) -> None:
        inbox = Inbox(redis, "kompar")
        results = inbox.append_all([delivery() for _ in range(50)])
        assert results[0].publish_wakeup
        inbox.clear_wakeup()
        inbox.acknowledge(inbox.claim(f"host-{number}/0"))
        inbox.remove_idle_consumers(timedelta(0))  # as if a day had passed

    def sizes() -> dict[bytes, int]:
        return {key: redis.memory_usage(key) or 0 for key in redis.scan_iter()}

    for number in range(24):
        hour(number)
    before = sizes()
    for number in range(24, 31 * 24):
        hour(number)
    after = sizes()
    assert after.keys() == before.keys()
    assert all(after[key] < 20_000 for key in after), after
    assert len(redis.xinfo_consumers("inbox:kompar", "workers")) <= 1
