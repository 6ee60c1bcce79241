"""A wrong secret of ours: what was rejected meanwhile is counted and kept, and readmitted once it is corrected."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.kvitto_process import Running, run
from tests.support.providers import solaris_fixtures
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.servers import eventually

NEW_TOKEN = "token-that-kvitto-lacks-yet"
NEW_SECRET = "secret-that-kvitto-lacks-yet"
CORRECTED = {
    "KOMPAR_TOKENS": f"{TOKEN},{NEW_TOKEN}",
    "SOLARIS_SECRETS": f"{solaris_fixtures.CREDIT_LINE}={NEW_SECRET}",
}
KEPT = "SELECT receipt FROM kvitto.rejected_requests WHERE received_at >= %s AND reason = %s AND request IS NOT NULL"


def begin() -> datetime:
    return datetime.now(UTC) - timedelta(milliseconds=1)


def await_kept(kvitto: Running, since: datetime, reason: str, number: int) -> list[str]:
    eventually(lambda: len(kvitto.rows(KEPT, since, reason)) >= number, f"{number} rejected requests are kept")
    return [str(row["receipt"]) for row in kvitto.rows(KEPT, since, reason)]


def await_room(kvitto: Running) -> None:
    """Wait until a rejected request is kept: a flood of another test takes all places until it is reported."""
    since = begin()

    def is_kept() -> bool:
        kvitto.post("decisions", b"{}", "token-that-asks-for-room")
        return bool(kvitto.rows(KEPT, since, "wrong-token"))

    eventually(is_kept, "room for rejected requests", 120)


def readmit(kvitto: Running, since: datetime, *options: str, **environment: str) -> list[dict[str, Any]]:
    line = ("--data", str(kvitto.data), "rejected", "readmit", "--since", since.isoformat(), "--json", *options)
    done = run(*line, environment=environment)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_ten_minutes_of_deliveries_under_a_wrong_token_are_readmitted_whole(kvitto: Running) -> None:
    since, number = begin(), 600
    for each in range(number):
        body = json.dumps({"application_id": f"rejected-{each}", "accepted": True})
        assert kvitto.post("decisions", body, NEW_TOKEN).status_code == 401
        if each % 100 == 99:  # ingest holds at most 500 of a client until its next report
            receipts = await_kept(kvitto, since, "wrong-token", each + 1)
    assert len(receipts) == number

    assert {row["outcome"] for row in readmit(kvitto, since, "--provider", "kompar")} == {"stays rejected"}
    planned = readmit(kvitto, since, "--provider", "kompar", "--dry-run", **CORRECTED)
    assert [row["outcome"] for row in planned] == ["readmitted"] * number
    assert len(kvitto.rows(KEPT, since, "wrong-token")) == number
    done = readmit(kvitto, since, "--provider", "kompar", "--operator", "Ada", "--why", "token", **CORRECTED)
    assert sorted(row["receipt"] for row in done) == sorted(receipts)
    assert {row["outcome"] for row in done} == {"readmitted"}
    assert readmit(kvitto, since, "--provider", "kompar", **CORRECTED) == []
    logged = kvitto.rows("SELECT * FROM reporting.access_log WHERE action = 'readmission' AND reason = 'token'")
    assert sorted(str(row["receipt"]) for row in logged) == sorted(receipts)
    assert {(row["operator"], row["provider"]) for row in logged} == {("Ada", "kompar")}

    query = "SELECT * FROM reporting.deliveries WHERE receipt = ANY(%s::uuid[]) AND outcome = 'stored'"
    eventually(lambda: len(kvitto.rows(query, receipts)) == number, "all of them in the ledger", 60)
    rejected_at = {str(row["receipt"]): row["received_at"] for row in kvitto.rows(
        "SELECT receipt, received_at FROM kvitto.rejected_requests WHERE receipt = ANY(%s::uuid[])", receipts
    )}  # fmt: skip
    assert {str(row["receipt"]): row["received_at"] for row in kvitto.rows(query, receipts)} == rejected_at
    kvitto.audit()


def test_a_delivery_that_was_rejected_and_sent_again_takes_effect_once(kvitto: Running) -> None:
    since, body = begin(), json.dumps({"application_id": "rejected-and-retried", "accepted": True})
    assert kvitto.post("decisions", body, NEW_TOKEN).status_code == 401
    kvitto.outcome(kvitto.post("decisions", body).json()["receipt"])
    (receipt,) = await_kept(kvitto, since, "wrong-token", 1)
    readmit(kvitto, since, **CORRECTED)
    kvitto.outcome(receipt)
    query = "SELECT outcome::text FROM reporting.deliveries WHERE entity_id = 'rejected-and-retried'"
    assert sorted(row["outcome"] for row in kvitto.rows(query)) == ["duplicate", "stored"]


def test_a_delivery_under_a_wrong_secret_is_readmitted_with_its_headers(kvitto: Running) -> None:
    since, sample = begin(), solaris_fixtures.request("x", {"id": "rejected"}, secret=NEW_SECRET, id="evt-rejected")
    assert kvitto.client.post(sample.path, headers=sample.headers, content=sample.body).status_code == 401
    (receipt,) = await_kept(kvitto, since, "wrong-signature", 1)
    assert [row["outcome"] for row in readmit(kvitto, since, "--provider", "solaris", **CORRECTED)] == ["readmitted"]
    assert kvitto.outcome(receipt)["outcome"] == "stored"
    kvitto.audit("solaris")


def test_rejected_requests_are_counted_by_minute_reason_and_client(kvitto: Running) -> None:
    since = begin()
    kvitto.post("decisions", b"{}", "wrong-token-of-somebody")
    kvitto.post("no-such-topic", b"{}")
    assert kvitto.client.post("/webhooks/nobody/decisions").status_code == 404
    query = """
        SELECT reason, client, sum(requests) AS requests FROM reporting.rejected_requests
        WHERE provider = 'kompar' AND minute >= date_trunc('minute', %s) GROUP BY reason, client
    """
    eventually(lambda: len(await_kept(kvitto, since, "not-found", 1)) == 1, "the wrong path is kept")
    counted = {(row["reason"], row["client"]): row["requests"] for row in kvitto.rows(query, since)}
    assert counted.keys() >= {("wrong-token", "127.0.0.1"), ("not-found", "127.0.0.1")}
    (row,) = readmit(kvitto, since, "--provider", "kompar", "--dry-run", **CORRECTED)[-1:]
    assert row["outcome"] == "stays rejected"


def test_list_and_show_hold_no_secret_and_no_content(kvitto: Running) -> None:
    since = begin()
    kvitto.post("decisions", b'{"application_id": "hidden"}', "secret-of-somebody-else")
    (receipt,) = await_kept(kvitto, since, "wrong-token", 1)
    listed = kvitto.run("rejected", "list", "--json")
    assert ("kompar", "wrong-token") in {(row["provider"], row["reason"]) for row in json.loads(listed.stdout)}
    shown = kvitto.run("rejected", "show", receipt)
    assert shown.returncode == 0, shown.stderr
    assert "stays rejected" not in shown.stdout
    assert "secret-of-somebody-else" not in listed.stdout + shown.stdout
    assert "hidden" not in shown.stdout
    unknown = kvitto.run("rejected", "show", "00000000-0000-0000-0000-000000000000")
    assert (unknown.returncode, "kvitto rejected list" in unknown.stderr) == (1, True)


def test_a_flood_of_rejected_requests_costs_no_authentic_delivery(kvitto: Running) -> None:
    since, number = begin(), 1_200

    def flood(_each: int) -> int:
        return kvitto.post("decisions", b"x" * 10_000, "token-of-a-flood").status_code

    with ThreadPoolExecutor(8) as senders:
        rejected = senders.map(flood, range(number))
        bodies = (json.dumps({"application_id": f"in-a-flood-{each}", "accepted": True}) for each in range(60))
        answers = [kvitto.post("decisions", body) for body in bodies]
        assert set(rejected) == {401}
    assert {answer.status_code for answer in answers} == {200}
    receipts = [answer.json()["receipt"] for answer in answers]
    query = "SELECT FROM reporting.deliveries WHERE receipt = ANY(%s::uuid[]) AND outcome = 'stored'"
    eventually(lambda: len(kvitto.rows(query, receipts)) == len(receipts), "all authentic ones in the ledger", 60)
    counts = "SELECT sum(requests) AS number FROM reporting.rejected_requests WHERE minute >= date_trunc('minute', %s)"
    eventually(lambda: kvitto.rows(counts, since)[0]["number"] >= number, "every rejected request is counted")
    kvitto.audit()


@pytest.mark.parametrize("size", [2 * 1024 * 1024])
def test_a_large_rejected_body_is_counted_and_not_kept(kvitto: Running, size: int) -> None:
    await_room(kvitto)
    since = begin()
    kvitto.post("decisions", b"x" * size, "another-wrong-token")
    kvitto.post("decisions", b"{}", "another-wrong-token")
    assert len(await_kept(kvitto, since, "wrong-token", 1)) == 1
