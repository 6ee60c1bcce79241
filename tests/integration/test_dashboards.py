"""The SQL of the dashboard Loan pipeline, in the role of dashboards: every panel runs and gives the right figures."""

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from app.storage.connection import Connection, connect
from deploy.monitoring.dashboards import LOAN_PIPELINE, Panel
from tests.support.dashboards import filled

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
# Of a year; most have a decision within three days.
MANY_APPLICATIONS = """
    INSERT INTO kvitto.kompar_applications (entity_id, company_type, amount, purpose, extra, flags, revision,
                                            first_received_at, last_received_at, description_of_property)
    SELECT md5(n::text), (ARRAY['AB', 'HB', 'EF'])[1 + n %% 3], 1000 * (n %% 500), 'Purpose ' || n %% 12, '{}',
           CASE WHEN n %% 50 = 0 THEN '{misfit-amount}'::text[] ELSE '{}' END, 1 + (n %% 10 = 0)::int, at, at,
           repeat('x', 80)
    FROM generate_series(1, %(applications)s::bigint) AS n,
         LATERAL (SELECT now() - interval '365 days' * (1 - n / %(applications)s::float) AS at) AS aged
"""
MANY_DECISIONS = """
    INSERT INTO kvitto.kompar_decisions (entity_id, accepted, extra, flags, revision, first_received_at,
                                         last_received_at)
    SELECT entity_id, amount > 250000, '{}', '{}', 1, at, at
    FROM kvitto.kompar_applications,
         LATERAL (SELECT first_received_at + interval '1 hour' * (amount::integer % 72) AS at) AS later
    WHERE amount % 3000 > 0
"""
OLD = "UPDATE kompar_applications SET first_received_at = now() - interval '90 days' WHERE entity_id = 'a4'"


@pytest.fixture
def shown(database: str, connection: Connection) -> dict[str, list[Any]]:
    """The rows of every panel by its title: four applications, one of them of a quarter ago, and two decisions."""
    for statement in (APPLICATIONS, DECISIONS, OLD):
        connection.execute(statement)
    with connect(database.replace("//kvitto@", "//kvitto_dashboard@"), "test") as dashboard:
        return {panel.title: rows(dashboard, panel) for panel in LOAN_PIPELINE}


def rows(dashboard: Connection, panel: Panel, explain: str = "") -> list[Any]:
    """Return what a panel shows, or how Postgres plans to find it."""
    return dashboard.execute(f"{explain} {filled(panel.queries[0][0])}".encode()).fetchall()


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


@pytest.mark.slow
def test_no_panel_reads_more_of_millions_of_events_than_it_shows(database: str) -> None:
    """How long that takes is measured by `python -m benchmarks --only growth`."""
    events = int(os.environ.get("KVITTO_DASHBOARD_EVENTS", "5_000_000"))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MANY_APPLICATIONS, {"applications": events * 3 // 5})
        connection.execute(MANY_DECISIONS)
        connection.execute("VACUUM (ANALYZE) kvitto.kompar_applications, kvitto.kompar_decisions")
    with connect(database.replace("//kvitto@", "//kvitto_dashboard@"), "test") as dashboard:
        for panel in LOAN_PIPELINE:
            (([plan],),) = rows(dashboard, panel, "EXPLAIN (FORMAT JSON)")
            read = {node["Relation Name"] for node in nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan"}
            assert not read & {"kompar_applications", "kompar_decisions", "events"}, panel.title
            assert rows(dashboard, panel)[0][0] is not None, panel.title


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
