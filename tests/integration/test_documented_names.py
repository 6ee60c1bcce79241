"""The pages name the tables, views and metrics that exist: Postgres and the metrics themselves are asked."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import app.metrics  # noqa: F401 - registers what processes count
from app.storage.connection import Connection
from tests.support.metrics import console_metrics, families, names
from tests.unit.project.test_documents import DATA_MODEL, OPERATIONS, PAGES, first_cells, ids


def relations(connection: Connection, schema: str) -> dict[str, list[str]]:
    """Return the tables and views of a schema with their columns."""
    query = """
        SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position) AS columns
        FROM information_schema.columns
        JOIN pg_class ON relname = table_name AND relnamespace::regnamespace::text = table_schema
        WHERE table_schema = %s AND NOT relispartition GROUP BY table_name
    """
    return {row.table_name: row.columns for row in connection.execute(query, [schema])}


def functions(connection: Connection, schema: str) -> set[str]:
    """Return the names of the functions of a schema."""
    query = "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace"
    return {row.proname for row in connection.execute(query, [schema])}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_tables_and_views_that_are_named_exist(page: Path, connection: Connection) -> None:
    text = re.sub(r"FROM\s+(reporting\.\w+)", r"`\1`", page.read_text())
    for schema in ("kvitto", "reporting"):
        named = set(re.findall(rf"`{schema}\.(\w+)`", text))
        made_up = {"acme_orders"}  # of the guide to a new provider
        assert named - made_up <= relations(connection, schema).keys() | functions(connection, schema)


def test_every_view_is_in_the_data_model_with_its_columns(connection: Connection) -> None:
    rows = re.findall(r"^\| `reporting\.(\w+)` \| [^|]+ \| ([^|]+) \|$", DATA_MODEL, re.MULTILINE)
    found = {name: re.findall(r"`(\w+)`", columns) for name, columns in rows}
    assert found == relations(connection, "reporting")


def test_every_table_is_in_the_data_model(connection: Connection) -> None:
    tables = set(relations(connection, "kvitto"))
    projections = {name for name in tables if name.startswith(("kompar_", "solaris_"))}  # each has a view
    assert sorted(name for name in tables - projections if f"`kvitto.{name}`" not in DATA_MODEL) == []


def test_metrics_are_those_that_are_served(database: str, valkey_server: str) -> None:
    read = names(families(console_metrics(database, valkey_server)).values())
    counted = names(family for family in REGISTRY.collect() if family.name.startswith("kvitto_"))
    assert first_cells(OPERATIONS, "### Metrics") == read | counted | {"kvitto_build_info"}
