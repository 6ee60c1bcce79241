"""The schema `reporting`, as a dashboard's author and an analyst find it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.rows import dict_row

from app.crypto.digests import Fingerprints
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.sandbox import fake_kompar
from app.storage.connection import Connection, connect
from app.storage.ledger import Ledger
from app.storage.roles import configure
from tests.support import databases
from tests.unit.project.test_documents import DATA_MODEL

EPOCH = UUID(int=1)
START = datetime(2026, 10, 23, 20, 30, tzinfo=UTC)  # 22:30 in Sweden; on the 25th summer time ends
KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))
QUERIES = re.findall(r"```sql\n(.*?)```", DATA_MODEL, re.DOTALL)
# Columns with contact data, free text or whole contents: all that kvitto_analyst does not read.
CONTACT_DATA = {
    "events": {"content"},
    "feed": {"content"},
    "kompar_applications": {
        "name", "company_name", "extra", "company_description", "attachments", "description_of_property",
    },
    "kompar_decisions": {"phone", "email", "extra"},
    "solaris_credit_lines": {"recipient_iban", "extra"},
    "solaris_rejected_transactions": {"sender_name", "sender_iban", "extra"},
}  # fmt: skip


class Sandbox:
    """Applications and decisions of the sandbox, and when each was received."""

    def __init__(self) -> None:
        random = Random(7)
        self.applications: list[tuple[datetime, dict[str, Any]]] = []
        self.decisions: list[tuple[datetime, dict[str, Any]]] = []
        for number in range(60):
            applied_at = START + timedelta(minutes=97 * number)
            document: dict[str, Any] = fake_kompar.application(random)
            if "purpose" in document:  # the sandbox sends some in another form of Unicode
                document["purpose"] = unicodedata.normalize("NFC", document["purpose"])
            if number % 10 == 9:  # the applicant of half a day ago again, in another spelling
                document["ssn"] = str(self.applications[number - 8][1]["ssn"]).replace("-", "")[2:]
            self.applications.append((applied_at, document))
            if number % 3:
                decided_at = applied_at + timedelta(seconds=random.randint(600, 9000))
                self.decide(random, document["application_id"], decided_at, changes=number % 5 == 0)
        for number in range(4):
            self.decide(random, f"unknown-{number}", START + timedelta(hours=number), changes=False)

    def decide(self, random: Random, application_id: object, decided_at: datetime, changes: bool) -> None:
        decision: dict[str, Any] = fake_kompar.decision(random, application_id)
        self.decisions.append((decided_at, decision))
        if changes:
            changed = {"application_id": application_id, "accepted": not decision["accepted"]}
            self.decisions.append((decided_at + timedelta(hours=6), changed))

    def answers(self) -> dict[str, list[tuple[datetime, bool]]]:
        """Return each application's decisions, in order."""
        found: dict[str, list[tuple[datetime, bool]]] = {}
        for at, document in self.decisions:
            found.setdefault(document["application_id"], []).append((at, document["accepted"]))
        return found

    def store(self, database: str) -> None:
        batch = [("applications", *each) for each in self.applications]
        batch += [("decisions", *each) for each in self.decisions]
        ledger = Ledger(database, "kompar")
        ledger.store([_processed(number, *each) for number, each in enumerate(batch, start=1)])
        ledger.close()


def _processed(number: int, topic: str, at: datetime, document: dict[str, Any]) -> ProcessedDelivery:
    position = StreamId(round(at.timestamp() * 1000), number)
    delivery = Delivery(UUID(int=number), "kompar", topic, {}, b"sealed")
    received = ReceivedDelivery(delivery, position.received_at, EPOCH, position)
    return ProcessedDelivery(received, KOMPAR.validate(Payload(topic, {}, document)))


def as_role(database: str, role: str) -> str:
    return database.replace("//kvitto@", f"//{role}@")


@pytest.fixture(scope="module")
def reported(postgres_server: str) -> Iterator[tuple[str, Sandbox]]:
    """A database with the sandbox's data."""
    database = databases.create(postgres_server)
    with connect(database, "test") as connection:
        configure(connection, "kvitto", ())  # no copy of a database inherits what is set for its roles
    data = Sandbox()
    data.store(database)
    yield database, data
    databases.drop(postgres_server, database)


def answer(database: str, number: int) -> list[dict[str, Any]]:
    """Ask one of the questions in the data model, as an analyst."""
    with psycopg.connect(as_role(database, "kvitto_analyst"), row_factory=dict_row) as connection:
        return connection.execute(QUERIES[number].encode()).fetchall()


def test_every_view_and_column_has_a_comment(connection: Connection) -> None:
    described = """
        SELECT concat_ws('.', relname, attname) AS name, col_description(view.oid, attnum) AS comment
        FROM pg_class AS view JOIN pg_attribute ON attrelid = view.oid AND attnum > 0
        WHERE relnamespace = 'reporting'::regnamespace
        UNION ALL
        SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relnamespace = 'reporting'::regnamespace
    """
    comments = {row.name: row.comment for row in connection.execute(described)}
    assert {"deliveries", "deliveries.receipt", "kompar_funnel.applied_at"} <= comments.keys()
    assert [name for name, comment in comments.items() if not comment] == []


def test_comments_of_times_amounts_and_contact_data_say_so(connection: Connection) -> None:
    query = """
        SELECT relname AS view, attname AS name, format_type(atttypid, NULL) AS type,
               col_description(attrelid, attnum) AS comment
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relnamespace = 'reporting'::regnamespace
    """
    for row in connection.execute(query):
        if row.type == "timestamp with time zone":
            assert "nstant" in row.comment, row
        if re.search("amount|revenue|_cents", row.name):
            assert re.search("kronor|cents", row.comment), row
            assert row.type in ("bigint", "numeric"), row
        if row.name in CONTACT_DATA.get(row.view, set()) - {"content"}:
            assert "ontact data" in row.comment, row


def test_roles_of_readers_find_views_without_their_schema(reported: tuple[str, Sandbox]) -> None:
    for role in ("kvitto_dashboard", "kvitto_analyst"):
        with psycopg.connect(as_role(reported[0], role)) as connection:
            assert connection.execute("SHOW search_path").fetchone() == ("reporting",)
            assert connection.execute("SELECT count(*) FROM kompar_funnel").fetchone() == (64,)


def test_analyst_reads_every_column_without_contact_data(connection: Connection) -> None:
    query = """
        SELECT relname AS view, attname AS name,
               has_column_privilege('kvitto_analyst', attrelid, attnum, 'SELECT') AS may
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relnamespace = 'reporting'::regnamespace AND relname <> 'access_log'
    """
    refused: dict[str, set[str]] = {}
    for row in connection.execute(query):
        if not row.may:
            refused.setdefault(row.view, set()).add(row.name)
    assert refused == CONTACT_DATA


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT phone FROM kompar_decisions",
        "SELECT * FROM kompar_applications",
        "SELECT content FROM events",
        "SELECT * FROM kvitto.events",
        "SELECT * FROM access_log",
        "CREATE TEMPORARY TABLE mine ()",
    ],
)
def test_analyst_is_refused_contact_data(reported: tuple[str, Sandbox], statement: str) -> None:
    with (
        psycopg.connect(as_role(reported[0], "kvitto_analyst")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


def test_pseudonyms_join_people_and_their_companies_in_every_spelling(database: str, connection: Connection) -> None:
    spellings = ["19811218-9876", "811218-9876", "8112189876", "198112189876", "811218+9876", " 8112189876 "]
    companies = ["8112189876", "16811218-9876", "SE811218987601", "811218-9876-001", 8112189876, "556016-0680"]
    times = [START + timedelta(hours=number) for number in range(len(spellings))]
    documents: list[dict[str, Any]] = [
        {"application_id": str(number), "ssn": ssn, "company_id": company}
        for number, (ssn, company) in enumerate(zip(spellings, map(str, companies), strict=True))
    ]
    documents.append({"application_id": "other", "ssn": "19900101-2384", "company_id": None})
    documents.append({"application_id": "none", "ssn": "no number"})
    ledger = Ledger(database, "kompar")
    rows = zip([*times, START, START], documents, strict=True)
    ledger.store([_processed(number, "applications", at, document) for number, (at, document) in enumerate(rows, 1)])
    ledger.close()
    query = "SELECT application_id, person_key, company_key FROM reporting.kompar_applications"
    keys = {row.application_id: (row.person_key, row.company_key) for row in connection.execute(query)}
    (person,) = {keys[str(number)][0] for number in range(6)}
    assert {keys[str(number)][1] for number in range(5)} == {person}
    assert keys["5"][1] not in (None, person)
    assert keys["other"][0] not in (None, person)
    assert (keys["other"][1], keys["none"]) == (None, (None, None))
    assert re.fullmatch("[0-9a-f]{32}", person)


def test_amounts_that_are_no_integers_are_exact(database: str, connection: Connection) -> None:
    document = {"application_id": "a", "company_revenue": 0.1, "company_last_year_revenue": 1234567.89}
    ledger = Ledger(database, "kompar")
    ledger.store([_processed(1, "applications", START, document)])
    ledger.close()
    query = "SELECT company_revenue::text, company_last_year_revenue::text FROM reporting.kompar_applications"
    assert [tuple(row) for row in connection.execute(query)] == [("0.1", "1234567.89")]


def test_agreed_fields_have_columns(database: str, connection: Connection) -> None:
    agreed = {"company_description": "Bageri", "attachments": ["a.pdf", "b.pdf"], "description_of_property": "Gård"}
    ledger = Ledger(database, "kompar")
    ledger.store([_processed(1, "applications", START, {"application_id": "a"} | agreed)])
    ledger.close()
    (row,) = connection.execute(f"SELECT {', '.join(agreed)}, extra FROM reporting.kompar_applications".encode())
    assert row._asdict() == agreed | {"extra": {}}


def test_applications_a_day_are_counted_by_swedish_days(reported: tuple[str, Sandbox]) -> None:
    database, data = reported
    days = Counter(at.astimezone(ZoneInfo("Europe/Stockholm")).date() for at, _ in data.applications)
    rows = answer(database, 0)
    assert {row["day"]: row["applications"] for row in rows} == days
    assert len(days) == 5
    assert sum(row["kronor"] for row in rows) == sum(document["amount"] for _, document in data.applications)


def test_acceptance_rate_and_time_to_decision(reported: tuple[str, Sandbox]) -> None:
    database, data = reported
    answers, applied = data.answers(), {document["application_id"]: at for at, document in data.applications}
    decided = {application: found for application, found in answers.items() if application in applied}
    times = [found[0][0] - applied[application] for application, found in decided.items()]
    (row,) = answer(database, 1)
    assert row["decided"] == len(decided) == 40
    accepted = sum(found[-1][1] for found in decided.values())
    assert float(row["accepted_percent"]) == round(100 * accepted / len(decided), 1)
    assert row["median_time"].total_seconds() == median(time.total_seconds() for time in times)


def test_amount_by_purpose(reported: tuple[str, Sandbox]) -> None:
    database, data = reported
    purposes: Counter[str | None] = Counter()
    amounts: Counter[str | None] = Counter()
    for _, document in data.applications:
        purposes[document.get("purpose")] += 1
        amounts[document.get("purpose")] += document["amount"]
    rows = answer(database, 2)
    assert {row["purpose"]: row["applications"] for row in rows} == purposes
    assert [row["kronor"] for row in rows] == sorted(amounts.values(), reverse=True)


def test_repeat_applicants(reported: tuple[str, Sandbox]) -> None:
    database, data = reported
    people = Counter(re.sub(r"\D", "", document["ssn"])[-10:] for _, document in data.applications)
    rows = answer(database, 3)
    assert sorted(row["applications"] for row in rows) == sorted(count for count in people.values() if count > 1)
    assert len(rows) == 6
    assert {row["time_between"] for row in rows} == {timedelta(minutes=97 * 8)}


def test_funnel_hides_no_decision(reported: tuple[str, Sandbox]) -> None:
    database, data = reported
    answers = data.answers()
    (row,) = answer(database, 4)
    assert row == {
        "applications": 60,
        "decided": 40,
        "accepted_at_first": sum(found[0][1] for found in answers.values()),
        "accepted_now": sum(found[-1][1] for found in answers.values()),
        "changed_their_mind": sum(found[0][1] != found[-1][1] for found in answers.values()),
        "without_application": 4,
    }
    assert row["changed_their_mind"] > 5
