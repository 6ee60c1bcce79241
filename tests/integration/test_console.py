"""The console's page on ledgers in every state: all well, in trouble, not to be read."""

import pytest
from flask.testing import FlaskClient

from app.console.app import create_app
from app.storage.connection import Connection
from config.settings import ConsoleSettings

LOOK = "INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now() - %s::interval, 7)"


def console(database: str) -> FlaskClient:
    settings = {"DATABASE_URL": database, "CONSOLE_PASSWORD": "secret"}
    return create_app(ConsoleSettings.load(settings)).test_client()


def page(database: str, status: int = 200) -> str:
    answer = console(database).get("/", auth=("any", "secret"))
    assert answer.status_code == status
    return answer.text


def test_all_is_well(database: str, connection: Connection) -> None:
    connection.execute(LOOK, ["3 seconds"])
    found = page(database)
    assert "All well" in found
    assert "<title>✓ Kvitto: all well</title>" in found
    assert "up to date" in found


def test_nobody_sweeps(database: str) -> None:
    found = page(database)
    assert "Something is wrong" in found
    assert "No inbox has been swept yet" in found


def test_a_provider_that_is_behind(database: str, connection: Connection) -> None:
    connection.execute(LOOK, ["5 minutes"])
    found = page(database)
    assert "<title>✗ Kvitto: something is wrong</title>" in found
    assert "kompar: the ledger is behind" in found
    assert "<span>5 min ago</span>" in found


def test_what_a_provider_sent_is_text_and_no_markup(database: str, connection: Connection) -> None:
    connection.execute(
        """
        INSERT INTO receipts (receipt, provider, topic, outcome, reason, received_at, epoch, seq)
        VALUES (gen_random_uuid(), '<script>', 'decisions', 'dead', 'invalid', now(), gen_random_uuid(), 0)
        """
    )
    connection.execute("INSERT INTO dead_letters SELECT receipt, reason, '<b>detail</b>' FROM receipts")
    found = page(database)
    assert "&lt;script&gt;: 1 delivery waits as a dead letter" in found
    assert "&lt;b&gt;detail&lt;/b&gt;" in found
    assert "<script" not in found


def test_a_database_without_a_schema_is_told_and_the_page_goes_on_looking(postgres_server: str) -> None:
    found = page(postgres_server, 503)
    assert "kvitto migrate" in found
    assert 'http-equiv="refresh"' in found


def test_a_database_that_is_not_there_is_told_to_operators_and_probes() -> None:
    nowhere = "postgresql://kvitto@127.0.0.1:1/kvitto"
    assert "postgres-unavailable" in page(nowhere, 503)
    probe = console(nowhere).get("/readyz")
    assert (probe.status_code, probe.content_type) == (503, "text/plain; charset=utf-8")
    assert console(nowhere).get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/", "/style.css", "/livez", "/metrics", "/nowhere"])
def test_every_answer_is_hardened(database: str, path: str) -> None:
    for answer in (console(database).get(path), console(database).get(path, auth=("any", "secret"))):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/style.css", "/metrics", "/nowhere"])
def test_nothing_but_health_is_shown_without_the_password(database: str, path: str) -> None:
    for given in (None, ("any", ""), ("secret", "any")):
        assert console(database).get(path, auth=given).status_code == 401
