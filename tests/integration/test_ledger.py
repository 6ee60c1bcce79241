"""The ledger: once, whatever the order, and all or nothing."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import permutations
from typing import Any, NoReturn
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.crypto.digests import Fingerprints
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.errors import DataRejectedError, InvalidDeliveryError, StoreUnavailableError
from app.providers.kompar.events import Kompar
from app.providers.solaris.events import Solaris
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from app.storage.overflow import EPOCH as OVERFLOW
from tests.support.servers import eventually
from tests.support.tables import clear

EPOCH = UUID(int=1)
START_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database, "kompar")
    yield found
    found.close()


def received(number: int, minutes: float = 0, topic: str = "decisions") -> ReceivedDelivery:
    position = StreamId(START_MS + int(minutes * 60_000), number)
    delivery = Delivery(UUID(int=number), "kompar", topic, {}, b"sealed")
    return ReceivedDelivery(delivery, position.received_at, EPOCH, position)


def processed(
    number: int, minutes: float, content: dict[str, Any] | None, topic: str = "decisions"
) -> ProcessedDelivery:
    found = received(number, minutes, topic)
    if content is None:
        return ProcessedDelivery(found, InvalidDeliveryError("wrong-key", "no key opens it"))
    return ProcessedDelivery(found, KOMPAR.validate(Payload(topic, {}, content)))


def repeated(original: ProcessedDelivery, minutes: float) -> ProcessedDelivery:
    """Return another entry of a receipt: it went the other way too, since its answer was lost."""
    position = StreamId(START_MS + int(minutes * 60_000), 1000 + original.received.stream_id.seq)
    received = ReceivedDelivery(original.received.delivery, position.received_at, OVERFLOW, position)
    return ProcessedDelivery(received, original.result)


def tables(connection: Connection) -> dict[str, list[Any]]:
    """Return everything that must not depend on the order of processing."""
    queries = {
        "deliveries": "SELECT receipt, entity_id, outcome, reason, received_at FROM reporting.deliveries ORDER BY 1",
        "events": "SELECT receipt, entity_id, revision, content, flags, received_at FROM reporting.events ORDER BY 1",
        "decisions": "SELECT * FROM reporting.kompar_decisions ORDER BY 1",
        "applications": "SELECT * FROM reporting.kompar_applications ORDER BY 1",
        "places": "SELECT receipt, epoch, received_at, seq FROM receipts ORDER BY 1",
        "duplicate_entries": "SELECT receipt, epoch, received_at, seq FROM duplicate_entries ORDER BY 1, 2, 3",
    }
    return {name: list(connection.execute(query)) for name, query in queries.items()}


contents = st.fixed_dictionaries(
    {"application_id": st.sampled_from(["one", "two"])},
    optional={
        "accepted": st.sampled_from([True, False, None]),
        "phone": st.sampled_from(["1", "2"]),
        "ssn": st.just("8"),
    },
)
# Half of them fit the schedule of retries.
minutes = st.integers(0, 5 * 60) | st.sampled_from([0, 0.5, 0.6, 2.1, 2.6, 15.1, 17.5, 60.1, 77.6])
histories = st.lists(
    st.tuples(minutes, st.none() | contents, st.none() | minutes), min_size=1, max_size=10
)  # minutes after noon, and those of a copy


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, data=st.data())
def test_any_order_and_any_batching_give_the_same_tables(
    ledger: Ledger,
    connection: Connection,
    history: list[tuple[float, dict[str, Any] | None, float | None]],
    data: st.DataObject,
) -> None:
    deliveries = []
    for number, (minutes, content, copied) in enumerate(history, start=1):
        deliveries.append(processed(number, minutes, content))
        if copied is not None:
            deliveries.append(repeated(deliveries[-1], copied))
    clear(connection)
    for each in sorted(deliveries, key=lambda each: (each.received.received_at, each.receipt)):
        ledger.store([each])
    one_by_one_in_order = tables(connection)

    clear(connection)
    shuffled = data.draw(st.permutations(deliveries))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
        ledger.store(shuffled[start:end])
        ledger.store(data.draw(st.permutations(shuffled[:end])))  # again: an acknowledgement was lost
    assert tables(connection) == one_by_one_in_order


def test_a_flag_lasts_until_a_revision_has_its_key(ledger: Ledger, connection: Connection) -> None:
    def flags() -> object:
        (row,) = connection.execute("SELECT flags, amount, extra FROM reporting.kompar_applications")
        return tuple(row)

    ledger.store([processed(1, 0, {"application_id": "a", "amount": "much"}, "applications")])
    assert flags() == (["invalid-amount"], None, {"amount": "much"})
    ledger.store([processed(2, 1, {"application_id": "a", "duration": 12}, "applications")])
    assert flags() == (["invalid-amount"], None, {"amount": "much"})
    ledger.store([processed(3, 2, {"application_id": "a", "amount": "500 000"}, "applications")])
    assert flags() == ([], 500000, {})


def test_what_came_first_and_fuller_is_never_overwritten_by_less(ledger: Ledger, connection: Connection) -> None:
    ledger.store([processed(1, 0, {"application_id": "a", "accepted": True, "phone": "1"})])
    ledger.store([processed(2, 1, {"application_id": "a", "accepted": True})])
    ledger.store([processed(3, 2, {"application_id": "a", "accepted": True, "email": "e"})])
    (row,) = connection.execute("SELECT accepted, phone, email, revision FROM reporting.kompar_decisions")
    assert row == (True, "1", "e", 2)


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_last_word_of_the_customer_wins_and_resurrects_nothing(
    ledger: Ledger, connection: Connection, order: tuple[int, ...]
) -> None:
    """A loan that was declined again must not look accepted, nor as if it had an offer."""
    declined = {"application_id": "a", "accepted": False}
    accepted = {"application_id": "a", "accepted": True, "offer_id": "of-1", "phone": "1", "ssn": "8"}
    batch = [processed(1, 0, declined), processed(2, 30, accepted), processed(3, 80, declined)]
    for index in order:
        ledger.store([batch[index]])
    query = "SELECT accepted, offer_id, phone, extra, flags, revision FROM reporting.kompar_decisions"
    assert [tuple(row) for row in connection.execute(query)] == [(False, None, None, {}, [], 3)]


def test_credit_line_that_was_rejected_has_no_offer(database: str, connection: Connection) -> None:
    solaris = Solaris(Fingerprints(b"k" * 32))
    limit = {"value": 5000, "unit": "cents", "currency": "EUR"}
    offered: dict[str, Any] = {"id": "c", "decision": "OFFERED", "offered_limit": limit}
    contents = [offered, {"id": "c", "decision": "REJECTED"}]
    other = Ledger(database, "solaris")
    for number, content in enumerate(contents, start=1):
        topic = "FREELANCER_CREDIT_LINE_APPLICATION"
        position = StreamId(START_MS, number)
        delivery = Delivery(UUID(int=number), "solaris", topic, {}, b"sealed")
        event = solaris.validate(Payload(topic, {"Solaris-Webhook-Id": str(number)}, content))
        other.store([ProcessedDelivery(ReceivedDelivery(delivery, position.received_at, EPOCH, position), event)])
    other.close()
    (row,) = connection.execute("SELECT decision, offered_limit_cents, revision FROM reporting.solaris_credit_lines")
    assert row == ("REJECTED", None, 2)


def test_numbers_of_any_size_are_kept_exactly(ledger: Ledger, connection: Connection) -> None:
    content = {"application_id": "a", "large": 10**30, "small": -(2**63) - 1, "fraction": 5e-324}
    ledger.store([processed(1, 0, content)])
    (event,) = connection.execute("SELECT content FROM reporting.events")
    (row,) = connection.execute("SELECT extra FROM reporting.kompar_decisions")
    assert event.content == content
    assert row.extra == {key: value for key, value in content.items() if key != "application_id"}


def test_flags_follow_their_key_through_revisions(ledger: Ledger, connection: Connection) -> None:
    revisions: list[tuple[dict[str, Any], list[str]]] = [
        ({"purpose": "Köpa en båt"}, ["unknown-purpose"]),
        ({"amount": 7}, ["unknown-purpose"]),  # the purpose, and so its doubt, stands
        ({"purpose": "Övrigt", "ssn": "1"}, ["ssn-checksum"]),
    ]
    for number, (content, flags) in enumerate(revisions, start=1):
        ledger.store([processed(number, number, {"application_id": "a"} | content, "applications")])
        (row,) = connection.execute("SELECT flags FROM reporting.kompar_applications")
        assert row.flags == flags


def test_a_receipt_and_its_effects_stand_or_fall_together(ledger: Ledger, connection: Connection) -> None:
    connection.execute("ALTER TABLE kompar_decisions ADD CONSTRAINT no_second CHECK (entity_id <> 'second')")
    batch = [processed(1, 0, {"application_id": "first"}), processed(2, 0, {"application_id": "second"})]
    with pytest.raises(DataRejectedError) as caught:
        ledger.store(batch)
    assert str(caught.value) == "23514: no_second"
    assert tables(connection) == {name: [] for name in tables(connection)}
    ledger.store(batch[:1])
    assert len(tables(connection)["deliveries"]) == 1


def test_another_entry_of_a_receipt_is_a_copy(ledger: Ledger, connection: Connection) -> None:
    first = processed(1, 0, {"application_id": "a"})
    again = ProcessedDelivery(
        ReceivedDelivery(first.received.delivery, first.received.received_at, EPOCH, StreamId(START_MS, 99)),
        first.result,
    )
    ledger.store([first, again])
    ledger.store([again])
    assert [row.outcome for row in tables(connection)["deliveries"]] == ["stored"]
    assert [row.seq for row in connection.execute("SELECT seq FROM duplicate_entries")] == [99]


def test_a_server_that_fails_is_unavailable_and_its_successor_is_used(ledger: Ledger, connection: Connection) -> None:
    ledger.store([processed(1, 0, {"application_id": "a"})])
    connection.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'kvitto-ledger-kompar' AND datname = current_database()
        """
    )
    with pytest.raises(StoreUnavailableError):
        ledger.store([processed(2, 0, {"application_id": "b"})])
    ledger.store([processed(2, 0, {"application_id": "b"})])
    assert len(tables(connection)["deliveries"]) == 2


class TimeLimit(BaseException):
    """What the signal of a task's time limit raises."""


def test_a_connection_interrupted_in_mid_statement_is_replaced(ledger: Ledger, connection: Connection) -> None:
    ledger.store([processed(1, 0, {"application_id": "a"})])

    def interrupt() -> None:
        eventually(lambda: waiting(connection) == 1, "the ledger in mid-statement")
        signal.raise_signal(signal.SIGUSR1)

    def end(*_: object) -> NoReturn:
        raise TimeLimit

    before = signal.signal(signal.SIGUSR1, end)
    with ThreadPoolExecutor() as pool, connection.transaction():
        connection.execute("LOCK TABLE kompar_decisions")
        interruption = pool.submit(interrupt)
        with pytest.raises(TimeLimit):
            ledger.store([processed(2, 0, {"application_id": "b"})])
        interruption.result()
    signal.signal(signal.SIGUSR1, before)
    ledger.store([processed(2, 0, {"application_id": "b"})])
    assert len(tables(connection)["deliveries"]) == 2


@pytest.fixture
def _time_zone(postgres_server: str) -> Iterator[None]:
    """A server in a time zone that turns its clocks back."""
    for statement in ("ALTER SYSTEM SET timezone = 'Europe/Stockholm'", "ALTER SYSTEM RESET timezone"):
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(statement)
            connection.execute("SELECT pg_reload_conf()")
        if " SET " in statement:
            yield


@pytest.mark.usefixtures("_time_zone")
def test_the_servers_time_zone_does_not_matter(ledger: Ledger, connection: Connection) -> None:
    """In the hour that autumn repeats, wall clocks order times wrongly; 00:30Z and 01:10Z are both 02-something."""
    minutes = (datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp() * 1000 - START_MS) / 60_000
    contents = [{"application_id": "a", "phone": "1"}, {"application_id": "a", "phone": "2"}]
    batch = [processed(1, minutes, contents[0]), processed(2, minutes + 40, contents[1])]
    ledger.store(batch)
    ledger.store([processed(3, minutes + 60.1, contents[0])])
    ledger.store(batch)
    assert [row.outcome for row in tables(connection)["deliveries"]] == ["stored", "stored", "duplicate"]
    assert [row.phone for row in tables(connection)["decisions"]] == ["2"]
    assert list(connection.execute("SELECT * FROM duplicate_entries")) == []


def test_stores_of_one_provider_follow_each_other(ledger: Ledger, database: str, connection: Connection) -> None:
    """Else both would judge without knowing of the other, and call the same content new."""
    other, content = Ledger(database, "kompar"), {"application_id": "a", "accepted": True}
    with ThreadPoolExecutor() as pool:
        with connection.transaction():
            connection.execute("LOCK TABLE kompar_decisions")  # both stop before their last statements
            stores = [pool.submit(ledger.store, [processed(1, 0, content)])]
            eventually(lambda: waiting(connection) == 1, "the first in mid-transaction")
            stores.append(pool.submit(other.store, [processed(2, 1, content)]))
            eventually(lambda: waiting(connection) == 2, "the second behind it")
        for store in stores:
            store.result()
    other.close()
    assert [row.outcome for row in tables(connection)["deliveries"]] == ["stored", "duplicate"]


def waiting(connection: Connection) -> int:
    """Count the sessions of this database that wait for a lock; the server has other databases."""
    query = """
        SELECT count(DISTINCT pid) AS n FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE NOT granted AND datname = current_database()
    """
    (row,) = connection.execute(query)
    return int(row.n)


def test_a_missing_table_is_our_bug(ledger: Ledger, connection: Connection) -> None:
    connection.execute("DROP TABLE kompar_decisions CASCADE")
    with pytest.raises(psycopg.errors.UndefinedTable):
        ledger.store([processed(1, 0, {"application_id": "a"})])


def test_a_replayed_dead_letter_takes_its_place_in_the_order_of_receipt(ledger: Ledger, connection: Connection) -> None:
    ledger.store([processed(1, 0, None), processed(2, 5, {"application_id": "a", "phone": "1"})])
    opened = processed(1, 0, {"application_id": "a", "phone": "1"})
    before = tables(connection)
    assert ledger.replay([opened], dry_run=True)[opened.receipt].name == "stored"
    assert tables(connection) == before
    assert ledger.replay([opened])[opened.receipt].name == "stored"
    assert ledger.replay([opened]) == {}
    assert [row.outcome for row in tables(connection)["deliveries"]] == ["stored", "duplicate"]
    (letter,) = connection.execute("SELECT receipt, received_at, replayed_at FROM reporting.dead_letters")
    assert letter.received_at == opened.received.received_at
    assert letter.replayed_at is not None


def test_an_earlier_entry_that_cannot_be_opened_here_leaves_a_replayed_receipt_as_it_is(
    ledger: Ledger, connection: Connection
) -> None:
    dead = processed(1, 5, None)
    ledger.store([dead, processed(2, 3, {"application_id": "a", "phone": "1"})])
    ledger.replay([ProcessedDelivery(dead.received, processed(1, 5, {"application_id": "a", "phone": "1"}).result)])
    before = tables(connection)
    ledger.store([repeated(dead, 1)])
    after = tables(connection)
    assert [row.receipt for row in after.pop("duplicate_entries")] == [dead.receipt]
    assert after == {name: rows for name, rows in before.items() if name != "duplicate_entries"}
