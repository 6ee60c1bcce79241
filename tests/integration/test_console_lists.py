"""The lists of the console show what the ledger has."""

import time
from uuid import uuid4

import pytest

from app.storage import access_log, audits, credentials
from app.storage.access_log import Access
from app.storage.audits import Loss
from app.storage.connection import Connection, connect
from tests.support.console_client import log_in

DAY = 86_400.0
ROWS = {
    "/rejected": """
        INSERT INTO rejected_counts VALUES (clock_timestamp(), 'kompar', 'wrong-token', '198.51.100.7', 12)
    """,
    "/audits": "INSERT INTO audits VALUES ('kompar', now(), 9123, 0, 6, 0, 0, 0, 3)",
    "/drift": """
        INSERT INTO schema_drift VALUES ('kompar', 'applications', 'unheard_of[]', 'number', '', 'key', now(), now(), 7,
                                         gen_random_uuid(), false)
    """,
    "/feed": "INSERT INTO feed_cursors (consumer, provider) VALUES ('scoring', 'kompar')",
    "/providers": """
        INSERT INTO subscriptions (provider, topic, url, api_url)
        VALUES ('kompar', 'decisions', 'https://hooks.test', 'x')
    """,
}
SHOWN = {
    "/rejected": "198.51.100.7", "/audits": "9,123", "/drift": "unheard_of[]", "/feed": "scoring",
    "/providers": "https://hooks.test",
}  # fmt: skip


@pytest.mark.parametrize("path", ROWS)
def test_list_shows_a_row_of_the_ledger(database: str, connection: Connection, path: str) -> None:
    person = log_in(database, "viewer")
    assert SHOWN[path] not in person.get(path)
    connection.execute(ROWS[path].encode())
    assert SHOWN[path] in person.get(path)


def test_losses_that_were_accepted_are_listed(database: str, connection: Connection) -> None:
    epoch = uuid4()
    audits.accept(connection, Loss("kompar", epoch, 4711), "disk lost", "Grace")
    assert "4,711" in log_in(database, "viewer").get("/audits")


def test_access_log_is_filtered_and_paged(database: str, connection: Connection) -> None:
    person, receipt = log_in(database, "privacy"), uuid4()
    for number in range(205):
        access_log.record(connection, Access("reveal", f"Grace-{number}", "case", "kompar", receipt))
    page = person.get(f"/log?action=reveal&receipt={receipt}")
    assert "Grace-204" in page
    assert "Grace-4<" not in page
    (older,) = [part.split('"')[0] for part in page.split('rel="next" href="')[1:]]
    page = person.get(older.replace("&amp;", "&"))
    assert "Grace-4<" in page
    assert "Grace-5<" not in page
    assert "Grace" not in person.get("/log?action=erasure")
    assert "names no receipt" in person.get("/log?receipt=one", 400)


def test_credentials_show_their_last_use_and_which_may_go(database: str, connection: Connection) -> None:
    now = time.time()
    used = {("kompar", "token 1"): now, ("kompar", "token 2"): now - 40 * DAY, ("kompar", "key a"): 0.0}
    for role in ("kvitto_ingest", "kvitto_worker"):
        with connect(database.replace("//kvitto@", f"//{role}@"), "test") as process:
            credentials.record(process, used)
    connection.execute("UPDATE credential_uses SET first_reported_at = first_reported_at - interval '60 days'")
    states = {row["credential"]: row["state"] for row in credentials.select(connection)}
    assert states == {"token 1": "in use", "token 2": "not used", "key a": "unknown"}
    page = log_in(database, "viewer").get("/providers")
    assert page.count("safe to retire</span>") == 1
    assert "never seen" in page
    credentials.record(connection, {("kompar", "token 1"): 0.0})  # another process, which has not seen it
    assert credentials.select(connection)[-2]["last_used_at"] is not None


def test_credentials_that_no_process_has_any_more_are_left_out(connection: Connection) -> None:
    credentials.record(connection, {("kompar", "token 1"): time.time()})
    connection.execute("UPDATE credential_uses SET reported_at = reported_at - interval '2 hours'")
    assert credentials.select(connection) == []
