"""The alerts of deploy/monitoring: valid, each tested both ways, each with an entry in the operations page."""

import os
import re
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.unit.project.test_documents import OPERATIONS, first_cells

FOLDER = Path(__file__).parents[3] / "deploy" / "monitoring"
CASES = ("alerts_test.yml", "alerts_slow_test.yml")
_YAML = YAML(typ="safe", pure=True)
ALERTS: list[dict[str, Any]] = [
    rule for group in _YAML.load(FOLDER / "alerts.yml")["groups"] for rule in group["rules"]
]
EVERY = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
# Series that are there only once something has happened.
OCCASIONAL = {
    "kvitto_fallback_seconds",
    "kvitto_dead_letters_open",
    "kvitto_certificate_expiry_timestamp_seconds",
    "kvitto_credential_last_use_timestamp_seconds",
    "kvitto_feed_lag_seconds",
    "kvitto_feed_lag_positions",
    "kvitto_feed_last_read_timestamp_seconds",
    "kvitto_silent",  # of providers that have delivered
    "kvitto_last_delivery_timestamp_seconds",
    "kvitto_usual_gap_seconds",
    "kvitto_rejected_given_up_timestamp_seconds",
    "kvitto_secrets_rejected",  # where secrets come from files
}


@cache
def cases() -> list[dict[str, Any]]:
    """Return what is expected of each alert at each time."""
    tests = chain.from_iterable(_YAML.load(FOLDER / name)["tests"] for name in CASES)
    return [case for test in tests for case in test["alert_rule_test"]]


def promtool(*arguments: str) -> None:
    """Run promtool; collecting its garbage would be a third of its work."""
    memory = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
    line = ["promtool", *arguments]
    done = subprocess.run(line, cwd=FOLDER, env=os.environ | memory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


def test_alerts_fire_and_are_silent_as_their_cases_say() -> None:
    promtool("test", "rules", *CASES)


@EVERY
def test_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: dict[str, Any]) -> None:
    assert {bool(case["exp_alerts"]) for case in cases() if case["alertname"] == alert["alert"]} == {True, False}


@EVERY
def test_alert_has_severity_texts_and_an_entry_in_the_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (page, anchor) == ("docs/operations.md", alert["alert"].lower())
    section = re.search(rf"^#### {alert['alert']}\n\n(.+?)(?=^#)", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert section is not None, "docs/operations.md has no entry for it"


def test_runbook_has_no_entry_without_an_alert() -> None:
    assert set(re.findall(r"^#### (Kvitto\w+)$", OPERATIONS, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}


def metrics_in(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bkvitto_\w+", expression)}


@EVERY
def test_alert_uses_documented_metrics(alert: dict[str, Any]) -> None:
    assert metrics_in(alert["expr"]) <= first_cells(OPERATIONS, "### Metrics")


def test_absence_of_every_metric_that_is_always_there_is_an_alert() -> None:
    (absence,) = [alert["expr"] for alert in ALERTS if alert["alert"] == "KvittoMetricAbsent"]
    assert metrics_in(absence) == first_cells(OPERATIONS, "### Metrics") - OCCASIONAL
    for line in absence.splitlines():
        first, second = re.findall(r"(?:kvitto|node)_\w+", line)
        assert first == second
