"""The list of deliveries, its search, a delivery and an entity, over a ledger that a worker's code filled."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest

from app.storage import deliveries
from app.storage.connection import Connection, connect
from app.storage.deliveries import Filter, first_receipt
from tests.support import databases
from tests.support.console_client import Person, as_console, log_in

START = datetime(2026, 11, 1, tzinfo=UTC)
FILL = """
    INSERT INTO receipts (receipt, provider, topic, event_type, entity_id, outcome, reason, received_at, epoch, seq)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000'
            || lpad(to_hex(n), 12, '0'))::uuid, 'kompar', CASE n %% 2 WHEN 0 THEN 'applications' ELSE 'decisions' END,
           CASE WHEN n %% 100 > 0 THEN 'application' END, CASE WHEN n %% 100 > 0 THEN 'a-' || n END,
           CASE WHEN n %% 100 = 0 THEN 'dead' ELSE 'stored' END::outcome,
           CASE WHEN n %% 100 = 0 THEN 'wrong-key' END, at, gen_random_uuid(), n
    FROM generate_series(1, %s) AS n, LATERAL (SELECT %s::timestamptz + n * interval '1 s' AS at) AS timed
"""
EVENTS = """
    INSERT INTO events (receipt, provider, event_type, entity_id, received_at, content, digests, field_flags, flags,
                        persons)
    SELECT receipt, provider, event_type, entity_id, received_at, '{}', '{}', '{}', '{}', ARRAY[receipt]
    FROM receipts WHERE entity_id IS NOT NULL
"""


def fill(connection: Connection, count: int) -> None:
    connection.execute("SELECT create_month('2026-11-01')")
    connection.execute(FILL, [count, START])
    connection.execute(EVENTS)
    connection.execute("ANALYZE receipts, events")


@pytest.fixture
def reading(database: str, connection: Connection) -> Iterator[Connection]:  # noqa: ARG001 - the database has its schema
    with connect(as_console(database), "test") as found:
        yield found


@pytest.fixture(scope="module")
def reading_many(postgres_server: str) -> Iterator[Connection]:
    """The console's connection to a database with 20,000 deliveries."""
    database = databases.create(postgres_server)
    with connect(database, "test") as connection:
        fill(connection, 20_000)
    with connect(as_console(database), "test") as found:
        yield found
    databases.drop(postgres_server, database)


def receipts(page: str) -> list[str]:
    return re.findall(r'data-row href="/deliveries/([0-9a-f-]{36})"', page)


def test_pages_hold_every_delivery_once_newest_first(connection: Connection, reading: Connection) -> None:
    fill(connection, 130)
    found, before = [], None
    while True:
        page = deliveries.select(reading, Filter(before=before))
        found += [row["receipt"] for row in page.rows]
        if (before := page.further) is None:
            break
    rows = connection.execute("SELECT receipt FROM receipts ORDER BY received_at DESC").fetchall()
    assert found == [row.receipt for row in rows]


def test_a_filter_looks_at_so_many_receipts_and_says_where_it_goes_on(
    connection: Connection, reading: Connection
) -> None:
    fill(connection, deliveries.LOOKED_AT + 50)
    page = deliveries.select(reading, Filter(topic="decisions"))
    assert (page.looked_at, page.matching, page.is_all) == (deliveries.LOOKED_AT, deliveries.LOOKED_AT // 2, False)
    page = deliveries.select(reading, Filter(topic="none"))
    assert (page.rows, page.matching) == ([], 0)
    assert page.further is not None
    rest = deliveries.select(reading, Filter(topic="none", before=page.further))
    assert (rest.looked_at, rest.further, rest.is_all) == (50, None, True)


@pytest.mark.parametrize("wanted", [Filter(reason="wrong-key"), Filter(outcome="dead")], ids=str)
def test_what_is_rare_is_looked_for_among_its_like_alone(
    connection: Connection, reading: Connection, wanted: Filter
) -> None:
    fill(connection, 1_000)
    page = deliveries.select(reading, wanted)
    assert (page.looked_at, page.matching, page.is_all) == (10, 10, True)


def test_a_flag_is_looked_for_among_flagged_deliveries_alone(connection: Connection, reading: Connection) -> None:
    fill(connection, deliveries.LOOKED_AT + 450)
    flagged = connection.execute("UPDATE events SET flags = '{a}' WHERE received_at > %s", [START]).rowcount
    oldest = [START + timedelta(seconds=number) for number in (1, 2, 3, 5)]
    connection.execute("UPDATE events SET flags = '{a,b}' WHERE received_at = ANY(%s)", [oldest])
    connection.execute("UPDATE events SET flags = '{}' WHERE received_at = %s", [START + timedelta(seconds=4)])
    page = deliveries.select(reading, Filter(flag="b"))
    assert (page.rows, page.looked_at, page.is_all) == ([], deliveries.LOOKED_AT, False)
    rest = deliveries.select(reading, Filter(flag="b", before=page.further))
    assert [row["received_at"] for row in rest.rows] == oldest[::-1]
    assert (rest.looked_at, rest.is_all) == (flagged - 1 - deliveries.LOOKED_AT, True)
    decisions = deliveries.select(reading, Filter(flag="b", topic="decisions", before=page.further))
    assert [row["received_at"] for row in decisions.rows] == [oldest[3], oldest[2], oldest[0]]
    assert [row["flags"] for row in deliveries.select(reading, Filter(flag="b", entity="a-2")).rows] == [["a", "b"]]
    assert deliveries.select(reading, Filter(flag="b", outcome="dead", before=page.further)).rows == []


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(), Filter(before=first_receipt(START + timedelta(hours=1))), Filter(outcome="dead"),
        Filter(outcome="stored"),
        Filter(since=START, until=START + timedelta(hours=2), topic="decisions"), Filter(entity="a-7"),
        Filter(person=str(UUID(int=7))), Filter(company="0" * 32), Filter(reason="wrong-key", provider="kompar"),
        Filter(flag="a"), Filter(flag="a", topic="decisions", outcome="stored"), Filter(flag="a", entity="a-7"),
    ],
    ids=str,
)  # fmt: skip
def test_no_filter_scans_a_table_that_grows(reading_many: Connection, wanted: Filter) -> None:
    with reading_many.transaction():
        deliveries.select(reading_many, wanted)
        query = """
            SELECT relname FROM pg_stat_xact_user_tables
            WHERE relname ~ '^(receipts|events|bodies|answers)' AND seq_tup_read > 0
        """
        assert reading_many.execute(query).fetchall() == []


def test_list_filters_by_what_the_address_says_and_keeps_it(database: str, connection: Connection) -> None:
    fill(connection, 260)
    person = log_in(database, "viewer")
    page = person.get("/deliveries?outcome=dead&topic=applications")
    assert (len(receipts(page)), "<b>2</b> deliveries" in page) == (2, True)
    page = person.get("/deliveries?topic=decisions")
    assert (len(receipts(page)), "<b>130</b> deliveries" in page) == (50, True)
    (further,) = re.findall(r'rel="next" href="([^"]+)"', page)
    older = person.get(further.replace("&amp;", "&"))
    assert "topic=decisions" in further
    assert max(receipts(older)) < min(receipts(page))
    page = person.get("/deliveries?since=2026-11-01T00:01&until=2026-11-01T00:02:00%2B00:00")
    assert "<b>60</b> deliveries" in page
    for wrong in ("since=yesterday", "before=1", "person=19811218-9876"):
        assert "names no filter" in person.get(f"/deliveries?{wrong}", 400)


def test_list_is_downloaded_as_csv_and_json_and_the_log_has_it(database: str, connection: Connection) -> None:
    fill(connection, 130)
    connection.execute("UPDATE receipts SET reason = '=1+1' WHERE entity_id = 'a-1'")
    person = log_in(database)
    rows = json.loads(person.get("/deliveries.json?provider=kompar"))
    assert len(rows) == 130
    table = list(csv.DictReader(io.StringIO(person.get("/deliveries.csv?provider=kompar"))))
    assert [row["receipt"] for row in table] == [row["receipt"] for row in rows]
    assert table[-1]["reason"] == "'=1+1"  # which a spreadsheet would take for a formula
    assert log_in(database, "viewer").client.get("/deliveries.csv").status_code == 403
    logged = connection.execute("SELECT operator, subject FROM access_log WHERE action = 'download'").fetchall()
    assert {row.operator for row in logged} == {"operator-of-test"}
    assert [row.subject for row in logged] == [f"/deliveries.{form}?provider=kompar" for form in ("json", "csv")]


def search(person: Person, text: str) -> str:
    answer = person.post("/search", q=text)
    return answer.headers.get("Location", answer.text)


def test_search_leads_to_what_a_text_names(database: str, connection: Connection) -> None:
    receipt = "01935b3e-7a60-7c3f-8d0a-0123456789ab"
    fill(connection, 10)
    person = log_in(database)
    assert search(person, f" {receipt} ") == f"/deliveries/{receipt}"
    assert search(person, "a-7") == "/deliveries?entity=a-7"
    connection.execute("UPDATE events SET entity_id = md5('a') WHERE entity_id = 'a-8'")  # written like a receipt
    assert search(person, md5(b"a").hexdigest()) == f"/deliveries?entity={md5(b'a').hexdigest()}"  # noqa: S324
    assert "lacks FINGERPRINT_KEY" in search(person, "19811218-9876")
    assert "lacks the right" in search(log_in(database, "viewer"), "19811218-9876")


def test_delivery_that_the_ledger_lacks_is_not_found(database: str) -> None:
    person = log_in(database)
    assert "has no receipt" in person.get("/deliveries/01935b3e-7a60-7c3f-8d0a-0123456789ab", 404)
    assert "sent nothing about" in person.get("/entities/kompar/none", 404)
