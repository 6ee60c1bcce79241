"""The SQL of the dashboard Loan pipeline, in the role of dashboards: every panel runs and gives the right figures."""

import re
from typing import Any

import pytest

from app.storage.connection import Connection, connect
from deploy.monitoring.dashboards import LOAN_PIPELINE

APPLICATIONS = """
    INSERT INTO kompar_applications (entity_id, company_type, amount, purpose, extra, flags, revision,
                                     first_received_at, last_received_at)
    SELECT 'a' || n, CASE WHEN n < 3 THEN 'AB' END, 1000 * n, CASE WHEN n < 4 THEN 'Inventory' END, '{}',
           CASE WHEN n = 1 THEN '{misfit-amount}'::text[] ELSE '{}' END, CASE WHEN n = 4 THEN 2 ELSE 1 END,
           now() - interval '2 hours', now()
    FROM generate_series(1, 4) AS n
"""
DECISIONS = """
    INSERT INTO kompar_decisions (entity_id, accepted, extra, flags, revision, first_received_at, last_received_at)
    SELECT 'a' || n, n = 1, '{}', '{}', 1, now() - interval '1 hour', now() FROM generate_series(1, 2) AS n
"""
OLD = "UPDATE kompar_applications SET first_received_at = now() - interval '90 days' WHERE entity_id = 'a4'"


@pytest.fixture
def shown(database: str, connection: Connection) -> dict[str, list[Any]]:
    """The rows of every panel by its title: four applications, one of them of a quarter ago, and two decisions."""
    for statement in (APPLICATIONS, DECISIONS, OLD):
        connection.execute(statement)
    with connect(database.replace("//kvitto@", "//kvitto_dashboard@"), "test") as dashboard:
        return {panel.title: dashboard.execute(filled(panel.queries[0][0])).fetchall() for panel in LOAN_PIPELINE}


def filled(query: str) -> bytes:
    """Return a query with Grafana's macros filled in, for the last 30 days."""
    return re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '30 days' AND now()", query).encode()


def test_panels_show_the_figures_of_the_chosen_time(shown: dict[str, list[Any]]) -> None:
    assert sum(row.applications for row in shown["Applications a day"]) == 3
    assert sum(row.kronor for row in shown["Amounts a day"]) == 6000
    assert [(row.accepted, row.declined) for row in shown["Decisions a day"]] == [(1, 1)]
    assert [tuple(row) for row in shown["Purposes"]] == [("Inventory", 3, 6000)]
    assert [tuple(row) for row in shown["Companies"]] == [("AB", 2, 1500), ("not stated", 1, 3000)]
    assert [row.accepted for row in shown["Acceptance"]] == [0.5]
    assert [(round(row.median), round(row.p90)) for row in shown["Time to decision"]] == [(3600, 3600)]
    assert [tuple(row) for row in shown["Revisions"]] == [(1, 3)]
    assert [tuple(row) for row in shown["Flags"]] == [("misfit-amount", 1)]
    assert len(shown) == len(LOAN_PIPELINE) == 9
