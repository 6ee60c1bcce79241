"""A flood of rejected requests takes a bounded share of memory, time and disk; every request is counted."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from app.crypto.sealing import SealingKeys
from app.ingest.rejection_reporter import Rejection, RejectionReporter
from app.storage.connection import Connection
from app.storage.pool import Pool

KEYS = SealingKeys((("a", b"k" * 32),))
RETRIED_FOR = timedelta(minutes=77)


@pytest.fixture
def reporter(database: str) -> Iterator[RejectionReporter]:
    """A reporter that reports when the test asks for it."""
    with closing(Pool(database, "test", 10.0)) as pool:
        yield RejectionReporter(pool, KEYS, ())


def send(reporter: RejectionReporter, client: str, number: int, size: int = 10) -> None:
    for _ in range(number):
        reporter.observe(Rejection("kompar", "wrong-token", client, RETRIED_FOR), b"x" * size)


def kept(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT client, count(*) AS number FROM rejected_requests GROUP BY client")
    return {row.client: row.number for row in rows}


def counted(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT client, sum(requests)::bigint AS number FROM rejected_counts GROUP BY client")
    return {row.client: row.number for row in rows}


def test_a_flood_of_one_client_is_counted_whole_and_sampled_beside_another(
    reporter: RejectionReporter, connection: Connection
) -> None:
    send(reporter, "flood", 3_000)
    send(reporter, "partner", 20)
    reporter.try_once()
    assert counted(connection) == {"flood": 3_000, "partner": 20}
    assert kept(connection) == {"flood": 200}  # the share of a second
    for _ in range(5):
        reporter.try_once()
    assert kept(connection) == {"flood": 500, "partner": 20}


def test_a_flood_of_many_clients_is_bounded_in_number_of_requests_and_counts(
    reporter: RejectionReporter, connection: Connection
) -> None:
    for number in range(12_000):
        send(reporter, f"client {number}", 1)
    for _ in range(15):
        reporter.try_once()
    assert sum(kept(connection).values()) == 2_000
    assert sum(counted(connection).values()) == 12_000
    assert len(counted(connection)) <= 51
    assert reporter.has_room("partner")


def test_a_flood_of_large_bodies_is_bounded_in_bytes(reporter: RejectionReporter, connection: Connection) -> None:
    send(reporter, "flood", 100, size=1024 * 1024)
    assert not reporter.has_room("partner")
    send(reporter, "flood", 1, size=1024 * 1024 + 1)  # too large for a place
    reporter.try_once()
    assert (kept(connection), counted(connection)) == ({"flood": 8}, {"flood": 101})
    assert reporter.has_room("partner")
