"""The edge over HTTP: it answers the contract's statuses only, and stores nothing that is not authentic."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from redis import Redis

from app.inbox import client as server
from config.redis_address import RedisAddress
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.servers import eventually

MIB = 1024 * 1024


@pytest.fixture
def appended(kvitto: Running) -> Iterator[Callable[[], int]]:
    """Return a function that counts the deliveries ever stored for Kompar, in inbox and overflow."""
    client = server.connect(RedisAddress.parse(kvitto.redis))
    yield lambda: _entries_added(client) + len(kvitto.rows("SELECT FROM kvitto.overflow WHERE provider = 'kompar'"))
    client.close()


def _entries_added(client: Redis) -> int:
    info: Any = client.xinfo_stream("inbox:kompar") if client.exists("inbox:kompar") else {"entries-added": 0}
    return int(info["entries-added"])


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    return document


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // MIB):
        yield b"x" * MIB


def test_a_delivery_is_answered_with_its_receipt(kvitto: Running, appended: Callable[[], int]) -> None:
    before = appended()
    answer = kvitto.post("applications", b"whatever it holds")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"receipt"}
    assert UUID(answer.json()["receipt"]).version == 7
    assert appended() == before + 1


@pytest.mark.parametrize("authorization", [None, "", "token", "token wrong", "Bearer xxxxx-yyyyy-zzzzz"])
def test_a_delivery_without_the_token_is_401(
    kvitto: Running, appended: Callable[[], int], authorization: str | None
) -> None:
    before = appended()
    headers = {} if authorization is None else {"Authorization": authorization}
    problem(kvitto.client.post("/webhooks/kompar/applications", content=b"{}", headers=headers), 401)
    assert appended() == before


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/kompar/contracts",
        "/webhooks/kompar",
        "/webhooks/nobody/applications",
        "/webhooks",
        "/",
        "//webhooks/kompar/applications",
        "/webhooks/kompar/applications/more",
        "/webhooks/kompar/%2e%2e/livez",
        "/static/x",
    ],
)
def test_unknown_paths_are_404(kvitto: Running, appended: Callable[[], int], path: str) -> None:
    before = appended()
    answer = kvitto.client.post(path, content=b"{}", headers={"Authorization": "token xxxxx-yyyyy-zzzzz"})
    problem(answer, 404)
    assert appended() == before


def test_an_unknown_provider_or_topic_is_logged_short_and_printable(kvitto: Running) -> None:
    headers = {"Authorization": "token unseen-token"}
    long = "n" * 60
    for path in (f"/webhooks/{long}/x", "/webhooks/kompar/a%1b%5b2J%9b%0ab"):
        problem(kvitto.client.post(path, content=b'{"unseen": "body"}', headers=headers), 404)
    log = (kvitto.data / "logs" / "ingest.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if '"not-found"' in line]
    logged = {line["path"] for line in lines if line["event"] == "request_rejected"}
    assert {f"/webhooks/{'n' * 40}/x", "/webhooks/kompar/a?[2J\N{REPLACEMENT CHARACTER}?b"} <= logged
    assert "unseen" not in log


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_405(kvitto: Running, appended: Callable[[], int], method: str) -> None:
    before = appended()
    answer = kvitto.client.request(method, "/webhooks/kompar/applications")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert appended() == before


def test_a_body_beyond_the_limit_is_413(kvitto: Running, appended: Callable[[], int]) -> None:
    before = appended()
    problem(kvitto.post("applications", b"x" * (30 * MIB)), 413)
    assert appended() == before


def test_a_chunked_body_beyond_the_limit_is_413(kvitto: Running, appended: Callable[[], int]) -> None:
    before = appended()
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz"}
    problem(kvitto.client.post("/webhooks/kompar/applications", content=chunks(30 * MIB), headers=headers), 413)
    assert appended() == before


def test_a_chunked_body_within_the_limit_is_accepted(kvitto: Running, appended: Callable[[], int]) -> None:
    before = appended()
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz"}
    answer = kvitto.client.post("/webhooks/kompar/applications", content=chunks(3 * MIB), headers=headers)
    assert answer.status_code == 200
    assert appended() == before + 1


def send_incomplete(kvitto: Running, rest: str) -> bytes:
    """Send the beginning of a request and close the sending side; return the answer."""
    host, port = kvitto.ingest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as wire:
        head = "POST /webhooks/kompar/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: token xxxxx-yyyyy-zzzzz\r\n"
        wire.sendall((head + rest).encode())
        wire.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize("rest", ["Content-Length: 1000\r\n\r\nhalf", "Content-Length: 0\r\n"])
def test_an_incomplete_body_is_not_accepted(kvitto: Running, appended: Callable[[], int], rest: str) -> None:
    before = appended()
    assert not send_incomplete(kvitto, rest).startswith(b"HTTP/1.1 200")
    assert appended() == before


def test_an_incomplete_chunked_body_is_a_dead_letter_at_worst(kvitto: Running) -> None:
    """The server does not report missing chunks to the application, so that the part received is stored."""
    answer = send_incomplete(kvitto, "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    if answer.startswith(b"HTTP/1.1 200"):
        receipt = json.loads(answer.partition(b"\r\n\r\n")[2])["receipt"]
        assert kvitto.outcome(receipt)["reason"] == "not-json"


def test_a_trailing_slash_is_accepted(kvitto: Running) -> None:
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz"}
    assert kvitto.client.post("/webhooks/kompar/applications/", content=b"{}", headers=headers).status_code == 200


def test_a_content_encoding_is_not_decoded(kvitto: Running) -> None:
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz", "Content-Encoding": "gzip"}
    answer = kvitto.client.post("/webhooks/kompar/decisions", content=b"\x1f\x8b\x08", headers=headers)
    assert answer.status_code == 200
    assert kvitto.outcome(answer.json()["receipt"])["reason"] == "not-json"


def test_livez_and_readyz_answer_200(kvitto: Running) -> None:
    assert kvitto.client.get("/livez").status_code == 200
    assert kvitto.client.get("/readyz").status_code == 200


def test_a_slow_sender_delays_no_other(kvitto: Running) -> None:
    body = json.dumps({"application_id": "slow", "accepted": True}).encode()
    head = f"POST /webhooks/kompar/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\n"
    host, _, port = kvitto.ingest.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        for number in range(5):  # each has its own time limit
            answer = kvitto.post("decisions", json.dumps({"application_id": f"beside-{number}", "accepted": True}))
            assert answer.status_code == 200
        slow.sendall(body[10:])
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")


def answer_of(kvitto: Running, receipt: object) -> dict[str, Any]:
    """Wait until ingest has reported how it answered a delivery that is in the ledger."""
    query = "SELECT answered_ms, answer_complete FROM reporting.deliveries WHERE receipt = %s AND answered_ms >= 0"
    eventually(lambda: bool(kvitto.rows(query, receipt)), f"the answer to {receipt}")
    return kvitto.rows(query, receipt)[0]


def test_an_answer_that_the_sender_takes_is_recorded_as_complete(kvitto: Running) -> None:
    receipt = kvitto.post("decisions", b'{"application_id": "answered"}').json()["receipt"]
    assert answer_of(kvitto, receipt)["answer_complete"]


def test_an_answer_that_no_sender_waits_for_is_recorded_as_incomplete(kvitto: Running) -> None:
    body = json.dumps(
        {"application_id": "hung-up", "note": "x" * 300_000}
    ).encode()  # so large that Postgres comes first
    head = f"POST /webhooks/kompar/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\n"
    host, _, port = kvitto.ingest.removeprefix("http://").partition(":")
    waits = "SELECT FROM pg_stat_activity WHERE application_name = 'kvitto-ingest' AND wait_event_type = 'Lock'"
    with psycopg.connect(kvitto.database) as connection:
        connection.execute("LOCK TABLE kvitto.overflow IN EXCLUSIVE MODE")
        with socket.create_connection((host, int(port)), timeout=10) as sender:
            sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            eventually(lambda: bool(kvitto.rows(waits)), "ingest before the overflow")
    query = "SELECT receipt FROM reporting.deliveries WHERE entity_id = 'hung-up'"
    eventually(lambda: bool(kvitto.rows(query)), "the delivery in the ledger")
    (row,) = kvitto.rows(query)
    assert not answer_of(kvitto, row["receipt"])["answer_complete"]
