"""The feed: every change of a revision once, in order, and for its consumers only."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import permutations
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue

from app.domain.outcome import ProcessedDelivery
from app.storage import feed
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from app.storage.roles import role_names
from tests.integration.test_ledger import processed
from tests.support import tables
from tests.support.follower import Follower, revisions
from tests.support.servers import eventually

READ = "SELECT * FROM reporting.read_feed(%s, %s, %s)"
CONFIRM = "SELECT reporting.confirm_feed(%s, %s, %s)"
# Without a time of Kompar's schedule between any two of them: none can be a late retry.
HISTORY = [
    processed(1, 0, {"application_id": "a", "phone": "1"}),
    processed(2, 5, {"application_id": "a", "phone": "2"}),
    processed(3, 10, {"application_id": "a", "phone": "1"}),
    processed(4, 20, {"application_id": "a", "phone": "1"}),
]


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    with closing(Ledger(database, "kompar")) as found:
        yield found


@pytest.fixture
def consumer(database: str) -> Iterator[Connection]:
    """A connection in the consumers' role."""
    with connect(as_role(database, "kvitto_consumer"), "consumer") as found:
        yield found


def as_role(database: str, role: str) -> str:
    return database.replace("//kvitto@", f"//{role}@")


def changes(connection: Connection, after: int = 0) -> list[tuple[int, int, str, int | None]]:
    """Return position, number of the receipt, change and revision of Kompar's feed behind a position."""
    rows = feed.read(connection, "kompar", after, 1000)
    return [(row["position"], row["receipt"].int, row["change"], row["revision"]) for row in rows]


def is_blocked(connection: Connection) -> bool:
    """Return whether a session of this database waits for a row that another has locked."""
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return connection.execute(query).rowcount == 1


def test_batch_puts_its_revisions_in_the_feed_in_order_of_receipt(ledger: Ledger, connection: Connection) -> None:
    ledger.store([HISTORY[3], HISTORY[1], processed(9, 1, None), HISTORY[0]])
    assert changes(connection) == [(1, 1, "new", 1), (2, 2, "new", 2), (3, 4, "new", 3)]
    (row,) = feed.read(connection, "kompar", 2, 10)
    assert row["content"] == {"application_id": "a", "phone": "1"}
    assert (row["event_type"], row["entity_id"], row["flags"]) == ("decisions", "a", [])


def test_duplicates_and_repeated_entries_change_nothing_in_the_feed(ledger: Ledger, connection: Connection) -> None:
    ledger.store(HISTORY)
    before = changes(connection)
    assert [receipt for _, receipt, _, _ in before] == [1, 2, 3]
    ledger.store(HISTORY)
    ledger.store([processed(5, 21, {"application_id": "a", "phone": "1"})])
    assert changes(connection) == before


def test_older_receipt_that_comes_late_moves_the_revisions_that_it_renumbers(
    ledger: Ledger, connection: Connection
) -> None:
    ledger.store([HISTORY[1], HISTORY[3]])
    ledger.store([HISTORY[0]])
    assert changes(connection) == [(3, 1, "new", 1), (4, 2, "corrected", 2), (5, 4, "corrected", 3)]


def test_revision_that_turns_out_to_be_a_duplicate_is_corrected_to_none(ledger: Ledger, connection: Connection) -> None:
    ledger.store([HISTORY[3]])
    ledger.store([HISTORY[2]])
    assert changes(connection) == [(2, 3, "new", 1), (3, 4, "corrected", None)]
    assert revisions(connection, "kompar").keys() == {UUID(int=3)}


def test_duplicate_that_becomes_a_revision_is_new(ledger: Ledger, connection: Connection) -> None:
    ledger.store([HISTORY[0], HISTORY[2]])
    ledger.store([HISTORY[1]])
    assert changes(connection) == [(1, 1, "new", 1), (2, 2, "new", 2), (3, 3, "new", 3)]


def test_replayed_dead_letter_is_new_and_a_dry_run_takes_no_position(ledger: Ledger, connection: Connection) -> None:
    ledger.store([processed(1, 0, None), HISTORY[1]])
    ledger.replay([HISTORY[0]], dry_run=True)
    assert changes(connection) == [(1, 2, "new", 1)]
    ledger.replay([HISTORY[0]])
    assert changes(connection) == [(2, 1, "new", 1), (3, 2, "corrected", 2)]


def test_accepted_late_retry_is_new(ledger: Ledger, connection: Connection) -> None:
    retry = processed(3, 0.6, {"application_id": "a", "phone": "1"})
    ledger.store([HISTORY[0], processed(2, 0.1, {"application_id": "a", "phone": "2"}), retry])
    ledger.accept(retry, "customer called", "operator")
    assert changes(connection)[2:] == [(3, 3, "new", 3)]


def test_follower_knows_the_revisions_after_each_batch_whatever_the_order(
    ledger: Ledger, connection: Connection
) -> None:
    for order in list(permutations(HISTORY))[::3]:  # which begin with each of them
        tables.clear(connection)
        follower = Follower(connection, "kompar")
        for delivery in order:
            ledger.store([delivery])
            assert follower.follow() == revisions(connection, "kompar")
        assert Follower(connection, "kompar").follow() == revisions(connection, "kompar")


def test_follower_of_concurrent_batches_misses_no_change(database: str, connection: Connection) -> None:
    random = Random(1)
    deliveries = [
        processed(number, random.randint(0, 900), {"application_id": str(number % 7), "phone": str(number % 3)})
        for number in range(1, 181)
    ]
    random.shuffle(deliveries)

    def store(share: Sequence[ProcessedDelivery]) -> None:
        with closing(Ledger(database, "kompar")) as own:
            for start in range(0, len(share), 5):
                own.store(share[start : start + 5])

    follower = Follower(connection, "kompar")
    with ThreadPoolExecutor() as pool:
        stores = [pool.submit(store, deliveries[number::3]) for number in range(3)]
        while not all(each.done() for each in stores):
            follower.follow()
        for each in stores:
            each.result()
    assert follower.follow() == revisions(connection, "kompar")
    (newest,) = connection.execute("SELECT position FROM feed_positions")
    assert follower.position == newest.position


def test_position_appears_only_after_all_lower_ones(ledger: Ledger, database: str, connection: Connection) -> None:
    """Even between transactions that do not lock the provider."""
    ledger.store(HISTORY[:1])
    with ThreadPoolExecutor() as pool, connect(database, "first") as first, connect(database, "second") as second:
        with first.transaction():
            assert feed.take_positions(first, "kompar", [UUID(int=7)]) == {UUID(int=7): 2}
            later = pool.submit(feed.take_positions, second, "kompar", [UUID(int=8), UUID(int=9)])
            eventually(lambda: is_blocked(connection), "the second behind the first")
        assert later.result() == {UUID(int=8): 3, UUID(int=9): 4}


def test_providers_do_not_wait_for_each_others_positions(ledger: Ledger, database: str, connection: Connection) -> None:
    with connect(database, "other") as other, other.transaction():
        assert feed.take_positions(other, "solaris", [UUID(int=7)]) == {UUID(int=7): 1}
        ledger.store(HISTORY[:1])
        assert changes(connection) == [(1, 1, "new", 1)]


def test_listeners_hear_of_each_batch_with_its_newest_position(ledger: Ledger, consumer: Connection) -> None:
    feed.listen(consumer)
    ledger.store(HISTORY[:2])
    ledger.store(HISTORY[:2])  # changes nothing
    ledger.replay([], dry_run=True)
    ledger.store(HISTORY[2:])
    heard = [json.loads(each.payload) for each in consumer.notifies(timeout=60, stop_after=2)]
    assert heard == [{"provider": "kompar", "position": 2}, {"provider": "kompar", "position": 3}]
    feed.wait(consumer, 0.01)  # returns without a change, too


def test_erased_events_move_to_the_end_without_content(ledger: Ledger, connection: Connection) -> None:
    ledger.store([*HISTORY, processed(5, 0, {"application_id": "b"})])
    with connection.transaction():
        feed.assign_positions(connection, "kompar", [UUID(int=number) for number in (4, 2, 1)])
    assert changes(connection) == [(2, 5, "new", 1), (4, 3, "new", 3), (5, 1, "erased", None), (6, 2, "erased", None)]
    erased = feed.read(connection, "kompar", 4, 10)
    assert [(row["entity_id"], row["content"], row["flags"]) for row in erased] == [(None, None, None)] * 2


def test_consumer_reads_what_it_has_not_confirmed(ledger: Ledger, consumer: Connection) -> None:
    ledger.store(HISTORY)
    for _ in range(2):
        assert [row["position"] for row in feed.read_unconfirmed(consumer, "scoring", "kompar", 2)] == [1, 2]
    feed.confirm(consumer, "scoring", "kompar", 2)
    feed.confirm(consumer, "scoring", "kompar", 1)  # never back
    assert [row["position"] for row in feed.read_unconfirmed(consumer, "scoring", "kompar", 2)] == [3]
    assert len(feed.read_unconfirmed(consumer, "another", "kompar", 100)) == 3
    feed.confirm(consumer, "scoring", "kompar", 3)
    assert feed.read_unconfirmed(consumer, "scoring", "kompar", 2) == []
    assert feed.forget(consumer, "scoring") == 1
    assert len(feed.read_unconfirmed(consumer, "scoring", "kompar", 100)) == 3


def test_instances_of_a_consumer_take_turns(ledger: Ledger, database: str, connection: Connection) -> None:
    """In transactions, each change is processed by one of them, even if the first dies before it commits."""
    ledger.store(HISTORY)
    role = as_role(database, "kvitto_consumer")

    def process(connection: Connection) -> list[int]:
        with connection.transaction():
            rows = feed.read_unconfirmed(connection, "scoring", "kompar", 2)
            feed.confirm(connection, "scoring", "kompar", rows[-1]["position"])
            return [row["position"] for row in rows]

    with ThreadPoolExecutor() as pool, connect(role, "first") as first, connect(role, "second") as second:
        first.execute("BEGIN")
        feed.read_unconfirmed(first, "scoring", "kompar", 2)
        other = pool.submit(process, second)
        eventually(lambda: is_blocked(connection), "the second behind the first")
        feed.confirm(first, "scoring", "kompar", 2)
        first.close()
        assert other.result() == [1, 2]
        assert process(second) == [3]


def test_wrong_arguments_of_a_consumer_are_refused(ledger: Ledger, consumer: Connection) -> None:
    ledger.store(HISTORY)
    feed.read_unconfirmed(consumer, "scoring", "kompar", 1)
    refused: list[tuple[str, tuple[Any, ...], str]] = [
        (READ, ("scoring", "kompra", 10), "no worker has served provider kompra yet"),
        (CONFIRM, ("scoring", "kompar", 4), "position 4 is not in the feed of kompar, which ends at 3"),
        (CONFIRM, ("scoring", "kompar", None), "position <NULL> is not in the feed"),
        (CONFIRM, ("nobody", "kompar", 1), "consumer nobody has never read the feed of kompar"),
    ]
    for statement, parameters, words in refused:
        with pytest.raises(InvalidParameterValue, match=words):
            consumer.execute(statement.encode(), parameters)


def test_name_of_a_consumer_is_a_slug(ledger: Ledger, consumer: Connection) -> None:
    ledger.store(HISTORY)
    for name in ("", "Scoring", "a b", "a" * 64, "person/19811218-9876"):
        with pytest.raises(ValueError, match="write it like scoring"):
            feed.read_unconfirmed(consumer, name, "kompar", 1)


def test_consumer_reads_the_feed_and_nothing_else(database: str, connection: Connection) -> None:
    query = """
        SELECT oid::regclass::text AS name FROM pg_class
        WHERE relnamespace IN ('kvitto'::regnamespace, 'reporting'::regnamespace) AND relkind IN ('r', 'p', 'v', 'S')
          AND (has_table_privilege('kvitto_consumer', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
               OR has_any_column_privilege('kvitto_consumer', oid, 'SELECT, INSERT, UPDATE'))
    """
    assert [row.name for row in connection.execute(query)] == ["reporting.feed"]
    query = """
        SELECT proname AS name FROM pg_proc
        WHERE pronamespace IN ('kvitto'::regnamespace, 'reporting'::regnamespace)
          AND has_function_privilege('kvitto_consumer', oid, 'EXECUTE') ORDER BY 1
    """
    assert [row.name for row in connection.execute(query)] == ["confirm_feed", "forget_consumer", "read_feed"]
    with psycopg.connect(as_role(database, "kvitto_consumer")) as own, pytest.raises(InsufficientPrivilege):
        own.execute("CREATE TABLE reporting.mine ()")


def test_other_roles_move_no_cursor(connection: Connection) -> None:
    query = """
        SELECT rolname FROM pg_proc, pg_roles
        WHERE proname IN ('read_feed', 'confirm_feed') AND rolname = ANY(%s)
          AND has_function_privilege(rolname, pg_proc.oid, 'EXECUTE')
    """
    rows = connection.execute(query, [list(role_names("kvitto"))])
    assert {row.rolname for row in rows} == {"kvitto_consumer"}
