"""The console logs each problem once when it begins and once when it ends, and knows since when it cannot read."""

import logging
from typing import Any

import pytest

from app.console.app import create_app
from app.console.ledger_reader import LedgerReader
from app.console.problem_finder import ProblemFinder
from app.console.problem_watch import ProblemWatch
from app.storage.connection import Connection
from tests.support.metrics import console_settings

pytestmark = pytest.mark.usefixtures("redis")  # with nothing in it
SWEPT = """
    INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now() - %s::interval, 0)
    ON CONFLICT (provider) DO UPDATE SET complete_until = excluded.complete_until
"""


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {"event": record.message, **vars(record)}


def test_a_problem_is_logged_when_it_begins_and_when_it_ends(
    database: str, connection: Connection, valkey_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = console_settings(database, valkey_server)
    watch = ProblemWatch(LedgerReader(database), ProblemFinder(settings))
    for late in ("1 second", "5 minutes", "6 minutes", "1 second"):
        connection.execute(SWEPT, [late])
        watch.once()
    began, ended = map(fields, caplog.records)
    assert (began["event"], began["kind"], began["provider"]) == ("problem_began", "behind", "kompar")
    assert "kompar: no sweep for 5 min; nothing waits in the inbox (since " in began["problem"]
    assert "kvitto health beat" in began["problem"]
    assert (ended["event"], ended["kind"], ended["provider"]) == ("problem_ended", "behind", "kompar")


def test_what_lasts_while_the_ledger_cannot_be_read_is_logged_no_second_time(
    database: str, connection: Connection, valkey_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = console_settings(database, valkey_server)
    ledger = LedgerReader(database)
    watch = ProblemWatch(ledger, ProblemFinder(settings))
    page = create_app(lambda: settings, ledger).test_client()
    connection.execute(SWEPT, ["5 minutes"])
    for name, other in (("audits", "elsewhere"), ("elsewhere", "audits")):
        watch.once()
        connection.execute(f"ALTER VIEW reporting.{name} RENAME TO {other}".encode())
    watch.once()
    watch.once()
    kinds = [(record.message, vars(record)["kind"]) for record in caplog.records]
    assert kinds == [
        ("problem_began", "behind"),
        ("problem_began", "ledger-unreadable"),
        ("problem_ended", "ledger-unreadable"),
    ]
    unreadable = vars(caplog.records[1])
    assert "The ledger cannot be read now" in unreadable["problem"]
    assert "kvitto check console" in unreadable["problem"]
    connection.execute("ALTER VIEW reporting.audits RENAME TO elsewhere")
    watch.once()
    since = vars(caplog.records[-1])["since"]
    answer = page.get("/readyz")
    assert (answer.status_code, f"(since {since:%Y-%m-%d %H:%M} UTC)" in answer.text) == (503, True)
