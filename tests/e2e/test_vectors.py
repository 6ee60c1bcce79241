"""Every sample of every provider, through HTTP, Redis, worker and Postgres, to its expected outcome."""

import json
from itertools import groupby
from typing import Any

import pytest

from app.domain.masking import mask
from tests.support.kvitto_process import Running
from tests.support.providers.provider_fixtures import Sample, names, side

SAMPLES = [sample for name in names() for sample in side(name).samples()]
GROUPS = [list(group) for _, group in groupby(SAMPLES, key=lambda sample: sample.group or sample)]
VIEWS = {
    "/webhooks/kompar/applications": ("kompar_applications", "application_id"),
    "/webhooks/kompar/decisions": ("kompar_decisions", "application_id"),
}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].name)
def test_samples_have_the_expected_outcome(kvitto: Running, group: list[Sample]) -> None:
    check_group(kvitto, group)


def check_group(kvitto: Running, group: list[Sample]) -> None:
    """Deliver samples that belong together; assert each outcome."""
    for sample in group:
        before = kvitto.entries(sample.path.split("/")[2])
        answer = kvitto.client.post(sample.path, content=sample.body, headers=sample.headers)
        assert answer.status_code == sample.expect["http"], sample.name
        if "receipt" in answer.json():
            check(kvitto, sample, kvitto.outcome(answer.json()["receipt"]))
        else:
            assert answer.status_code in (401, 503) or answer.json() == {}
            assert kvitto.entries(sample.path.split("/")[2]) == before


def check(kvitto: Running, sample: Sample, delivery: dict[str, Any]) -> None:
    expected = sample.expect
    if expected["outcome"] == "any-but-lost":
        assert delivery["outcome"] in ("stored", "dead")
        return
    assert delivery["outcome"] == expected["outcome"], sample.name
    if "content" in expected:
        (event,) = kvitto.rows("SELECT * FROM reporting.events WHERE receipt = %s", delivery["receipt"])
        assert event["content"] == mask(expected["content"])
        assert bool(event["flags"]) == expected.get("flags", bool(event["flags"]))
        assert event["revision"] == expected.get("revision", event["revision"])
    if "current" in expected:
        check_current(kvitto, *VIEWS[sample.path], mask(expected["current"]))


def check_current(kvitto: Running, view: str, key: str, expected: dict[str, Any]) -> None:
    (row,) = kvitto.rows(f"SELECT * FROM reporting.{view} WHERE {key} = %s", expected[key])
    current = row["extra"] | {name: value for name, value in row.items() if name in expected}
    assert current == expected


def test_audit_finds_nothing_missing_afterwards(kvitto: Running) -> None:
    for name in names():
        account = kvitto.audit(name)
        assert account["missing"] == 0
        assert account["receipts"] == account["stored"] + account["duplicate"] + account["dead"]


def test_solaris_views(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    for sample in side("solaris").samples():
        answer = kvitto.client.post(sample.path, content=sample.body, headers=sample.headers).json()
        if "receipt" in answer:
            kvitto.outcome(answer["receipt"])
    (line,) = kvitto.rows(
        "SELECT * FROM reporting.solaris_credit_lines WHERE id = '7d903b7483294e3b902b89097d690005ccla'"
    )
    assert (line["status"], line["decision"], line["revision"]) == ("offered", "OFFERED", 2)
    assert (line["offered_limit_cents"], line["offered_limit_currency"]) == (250000, "EUR")
    rates = kvitto.rows(
        """
        SELECT interest_accrual_rate FROM reporting.solaris_overdraft_rates
        WHERE overdraft_id = '00556cd181f2409aaa6c2a033cce3a8fcovd' ORDER BY effective_from
        """
    )
    assert [row["interest_accrual_rate"] for row in rates] == [0.0003014, 0.00031]
    rejections = kvitto.rows("SELECT event_id, sender_name, extra FROM reporting.solaris_rejected_transactions")
    sampled = [row for row in rejections if row["event_id"].startswith("wh-")]
    equal = {row["event_id"] for row in sampled if row["sender_name"] == "Jörg Mustermann"}
    assert equal == {"wh-10", "wh-11"}
    (other,) = [row for row in rejections if row["event_id"] == "wh-13"]
    assert other["extra"]["rejection_reason"] == "whatever"


def test_no_national_id_is_in_any_view(kvitto: Running) -> None:
    views = [row["viewname"] for row in kvitto.rows("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")]
    assert len(views) >= 11
    for view in views:
        text = json.dumps(kvitto.rows(f"SELECT * FROM reporting.{view}"), default=str)
        assert not [number for number in ("9876", "0017", "811218-98") if f'{number}"' in text], view


def test_the_dashboard_role_reads_the_views_and_nothing_else(kvitto: Running) -> None:
    assert kvitto.rows("SELECT has_schema_privilege('kvitto_dashboard', 'reporting', 'USAGE') AS may")[0]["may"]
    query = """
        SELECT nspname, relname, has_table_privilege('kvitto_dashboard', pg_class.oid, 'SELECT') AS readable,
               has_table_privilege('kvitto_dashboard', pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'v') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    """
    for row in kvitto.rows(query):
        may_read = row["nspname"] == "reporting" and row["relname"] != "access_log"
        assert row["readable"] == may_read, row
        assert not row["writable"], row
