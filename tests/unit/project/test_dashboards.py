"""Grafana's dashboards are those that the script writes, and each panel says what it shows."""

import re

import pytest

from deploy.monitoring.dashboards import FOLDER, INGEST_HEALTH, LOAN_PIPELINE, Panel, dashboards
from tests.unit.project.test_alerts import metrics_in
from tests.unit.project.test_documents import OPERATIONS, first_cells

PANELS = (*INGEST_HEALTH, *LOAN_PIPELINE)
EVERY = pytest.mark.parametrize("panel", PANELS, ids=[panel.title for panel in PANELS])


def test_files_are_those_that_the_script_writes() -> None:
    written = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert written == dashboards(), "run: python -m deploy.monitoring.dashboards"


@EVERY
def test_panel_has_a_description_and_a_unit(panel: Panel) -> None:
    assert panel.description.endswith(".")
    assert panel.unit
    assert all(legend or panel.sql for _, legend in panel.queries)


@pytest.mark.parametrize("panel", INGEST_HEALTH, ids=[panel.title for panel in INGEST_HEALTH])
def test_queries_use_documented_metrics_and_the_interval_of_the_graph(panel: Panel) -> None:
    for query, _ in panel.queries:
        assert metrics_in(query) <= first_cells(OPERATIONS, "### Metrics")
        assert set(re.findall(r"\[(.*?)\]", query)) <= {"$__rate_interval"}
