"""Every sample delivery, through HTTP, Redis, worker and Postgres, to what must become of it."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from app.masking import mask
from tests.running import Running

SAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "providers" / "samples" / "kompar.json").read_text()
)["deliveries"]
GROUPS = [list(group) for _, group in groupby(SAMPLES, key=lambda sample: sample.get("group", sample["name"]))]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0]["name"])
def test_samples_end_where_they_must(kvitto: Running, group: list[dict[str, Any]]) -> None:
    for sample in group:
        answer = kvitto.post(sample["topic"], sample["body"])
        assert answer.status_code == 200
        check(kvitto, sample, kvitto.outcome(answer.json()["receipt"]))


def check(kvitto: Running, sample: dict[str, Any], delivery: dict[str, Any]) -> None:
    expected = sample["expect"]
    if expected["outcome"] == "any-but-lost":
        assert delivery["outcome"] in ("stored", "dead")
        return
    assert delivery["outcome"] == expected["outcome"], sample["name"]
    if "content" in expected:
        (event,) = kvitto.rows("SELECT * FROM reporting.events WHERE receipt = %s", delivery["receipt"])
        assert event["content"] == mask(expected["content"])
        assert bool(event["flags"]) == expected.get("flags", bool(event["flags"]))
        assert event["revision"] == expected.get("revision", event["revision"])
    if "current" in expected:
        check_current(kvitto, sample["topic"], mask(expected["current"]))


def check_current(kvitto: Running, topic: str, expected: dict[str, Any]) -> None:
    (row,) = kvitto.rows(
        f"SELECT * FROM reporting.kompar_{topic} WHERE application_id = %s", expected["application_id"]
    )
    current = row["extra"] | {key: value for key, value in row.items() if key in expected}
    assert current == expected


def test_the_books_add_up_afterwards(kvitto: Running) -> None:
    account = kvitto.audit()
    assert account["missing"] == 0
    assert account["receipts"] == account["stored"] + account["duplicate"] + account["dead"]


def test_no_national_id_is_in_any_view(kvitto: Running) -> None:
    views = [row["viewname"] for row in kvitto.rows("SELECT viewname FROM pg_views WHERE schemaname = 'reporting'")]
    assert len(views) >= 8
    for view in views:
        text = json.dumps(kvitto.rows(f"SELECT * FROM reporting.{view}"), default=str)
        assert not [number for number in ("9876", "0017", "811218-98") if f'{number}"' in text], view


def test_the_dashboard_role_reads_the_views_and_nothing_else(kvitto: Running) -> None:
    assert kvitto.rows("SELECT has_schema_privilege('kvitto_dashboard', 'reporting', 'USAGE') AS may")[0]["may"]
    tables = kvitto.rows(
        """
        SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND relkind IN ('r', 'v')
          AND has_table_privilege('kvitto_dashboard', pg_class.oid, 'SELECT') AND nspname <> 'reporting'
        """
    )
    assert tables == []
    writable = kvitto.rows(
        """
        SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'v') AND nspname NOT IN ('pg_catalog', 'information_schema')
          AND has_table_privilege('kvitto_dashboard', pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        """
    )
    assert writable == []
