"""What is kept of rejected requests stays within bounds; the clients take turns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from app.storage import rejected
from app.storage.connection import Connection
from app.storage.rejected import RejectedCount, RejectedRequest

NOW = datetime.now(UTC).replace(microsecond=0)


def request(client: str, at: datetime = NOW, size: int = 10) -> RejectedRequest:
    return RejectedRequest(uuid7(), "kompar", "wrong-token", client, at, at, size, b"sealed")


def kept(connection: Connection) -> dict[str, int]:
    rows = connection.execute("SELECT client, count(*) AS number FROM rejected_requests GROUP BY client")
    return {row.client: row.number for row in rows}


def trim(connection: Connection, requests: int = 1000, size: int = 10**9) -> None:
    connection.execute("SELECT trim_rejected_requests(7, %s, %s)", [requests, size])


def test_counts_of_a_minute_add_up(connection: Connection) -> None:
    count = RejectedCount(NOW.replace(second=0), "kompar", "wrong-token", "127.0.0.1", 3)
    rejected.record(connection, [count], [])
    rejected.record(connection, [count._replace(requests=2)], [])
    assert connection.execute("SELECT requests FROM reporting.rejected_requests").fetchall() == [(5,)]


def test_a_flood_displaces_its_own_requests_only(connection: Connection) -> None:
    partner = [request("partner", NOW - timedelta(minutes=minute)) for minute in range(20)]
    rejected.record(connection, [], [*partner, *(request("flood") for _ in range(500))])
    trim(connection, requests=100)
    assert kept(connection) == {"partner": 20, "flood": 80}


def test_bytes_are_bounded_too(connection: Connection) -> None:
    rejected.record(connection, [], [request("a", NOW - timedelta(seconds=n), size=1000) for n in range(10)])
    trim(connection, size=4500)
    assert kept(connection) == {"a": 4}


def test_what_is_older_than_a_week_goes(connection: Connection) -> None:
    old = NOW - timedelta(days=8)
    rejected.record(
        connection, [RejectedCount(old, "kompar", "wrong-token", "a", 1)], [request("a", old), request("a")]
    )
    rejected.trim(connection)
    assert kept(connection) == {"a": 1}
    assert connection.execute("SELECT FROM rejected_counts").rowcount == 0


def test_since_yields_requests_in_order_of_receipt_over_several_fetches(connection: Connection) -> None:
    requests = [request("a", NOW - timedelta(seconds=second)) for second in range(600)]
    rejected.record(connection, [], requests)
    found = list(rejected.since(connection, NOW - timedelta(seconds=550), None))
    assert [each.receipt for each in found] == [each.receipt for each in reversed(requests[:551])]


def test_recent_names_reasons_of_several_requests_lately(connection: Connection) -> None:
    counts = [
        RejectedCount(NOW - timedelta(minutes=1), "kompar", "wrong-token", "a", 4),
        RejectedCount(NOW - timedelta(minutes=70), "kompar", "wrong-token", "b", 1),
        RejectedCount(NOW, "kompar", "no-token", "a", 4),  # too few
        RejectedCount(NOW - timedelta(hours=3), "solaris", "wrong-signature", "a", 99),  # over
    ]
    until, kept_request = NOW + timedelta(minutes=30), request("a")
    rejected.record(connection, counts, [kept_request._replace(retried_until=until)])
    (found,) = rejected.recent(connection)
    assert (found.provider, found.reason, found.requests) == ("kompar", "wrong-token", 5)
    assert (found.last_at - found.first_at, found.given_up_from) == (timedelta(minutes=69), until)
    readmitted = "UPDATE rejected_requests SET readmitted_at = now() WHERE receipt = %s"
    connection.execute(readmitted, [kept_request.receipt])
    assert rejected.recent(connection) == []


def test_summary_says_when_the_provider_gives_up_on_the_first(connection: Connection) -> None:
    until = [NOW + timedelta(minutes=minutes) for minutes in (-5, 30, 60)]
    rejected.record(connection, [], [request("a")._replace(retried_until=each) for each in until])
    (row,) = rejected.summary(connection)
    assert (row["requests"], row["given_up_from"]) == (3, until[1])


@pytest.mark.parametrize(
    "read",
    [rejected.last_hour, rejected.recent, lambda connection: rejected.by_client(connection, 10)],
    ids=["last hour", "recent", "by client"],
)
def test_what_is_read_of_recent_minutes_reads_no_older_ones(
    connection: Connection, read: Callable[[Connection], Any]
) -> None:
    connection.execute("INSERT INTO rejected_counts SELECT now() - n * interval '1 d', 'kompar', 'x', 'y', 1"
                       " FROM generate_series(2, 6) AS n")  # fmt: skip
    connection.execute("SET enable_seqscan = off")
    with connection.transaction():
        read(connection)
        query = "SELECT FROM pg_stat_xact_user_tables WHERE relname = 'rejected_counts' AND seq_tup_read > 0"
        assert connection.execute(query).fetchall() == []
