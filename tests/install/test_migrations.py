"""Squawk finds nothing in the migrations that would break the previous release, or keep a large table locked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.kvitto_process import ROOT

SQUAWK = ROOT / ".chart" / "squawk" / "bin" / "squawk"
# Statements under which the previous release, or deliveries, would fail.
DANGEROUS = {
    "adding-required-field": "ALTER TABLE kvitto.receipts ADD COLUMN colour text NOT NULL",
    "adding-not-nullable-field": "ALTER TABLE kvitto.receipts ALTER COLUMN reason SET NOT NULL",
    "ban-drop-column": "ALTER TABLE kvitto.receipts DROP COLUMN reason",
    "ban-drop-table": "DROP TABLE kvitto.overflow",
    "changing-column-type": "ALTER TABLE kvitto.receipts ALTER COLUMN reason TYPE varchar(9)",
    "constraint-missing-not-valid": "ALTER TABLE kvitto.receipts ADD CONSTRAINT named CHECK (topic <> '')",
    "renaming-column": "ALTER TABLE kvitto.receipts RENAME COLUMN reason TO cause",
    "require-concurrent-index-creation": "CREATE INDEX by_reason ON kvitto.receipts (reason)",
}


def lint(*files: Path) -> list[Any]:
    assert SQUAWK.exists(), "Squawk is not here: run tests/install/prepare"
    done = subprocess.run([SQUAWK, "--reporter", "json", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    return list(json.loads(done.stdout))


def test_migrations_break_and_lock_nothing() -> None:
    files = sorted((ROOT / "app" / "storage" / "migrations").glob("*.sql"))
    assert files
    assert [f"{each['file']}:{each['line'] + 1}: {each['rule_name']}" for each in lint(*files)] == []


@pytest.mark.parametrize("rule", DANGEROUS)
def test_dangerous_statement_is_found(tmp_path: Path, rule: str) -> None:
    (tmp_path / "9999_dangerous.sql").write_text(f"{DANGEROUS[rule]};\n")
    assert rule in {each["rule_name"] for each in lint(tmp_path / "9999_dangerous.sql")}
