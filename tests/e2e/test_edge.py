"""The edge over HTTP: it answers the contract's statuses only, and stores nothing that is not authentic."""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from tests.support.providers.solaris_fixtures import CREDIT_LINE, request
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
    assert {f"/webhooks/{'n' * 40}/x", "/webhooks/kompar/a?[#J\N{REPLACEMENT CHARACTER}?b"} <= logged
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


@pytest.mark.parametrize("encoding", ["chunked", "Chunked"])
def test_a_chunked_body_beyond_the_limit_is_413(kvitto: Running, appended: Callable[[], int], encoding: str) -> None:
    before = appended()
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz", "Transfer-Encoding": encoding}
    problem(kvitto.client.post("/webhooks/kompar/applications", content=chunks(30 * MIB), headers=headers), 413)
    assert appended() == before


def test_a_chunked_body_within_the_limit_is_accepted(kvitto: Running, appended: Callable[[], int]) -> None:
    before = appended()
    headers = {"Authorization": "token xxxxx-yyyyy-zzzzz"}
    answer = kvitto.client.post("/webhooks/kompar/applications", content=chunks(3 * MIB), headers=headers)
    assert answer.status_code == 200
    assert appended() == before + 1


def send(kvitto: Running, rest: str, how: int | None = None) -> bytes:
    """Send a request with these headers and body, and shut the connection down in this way; return the answer."""
    host, port = kvitto.ingest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as wire:
        head = "POST /webhooks/kompar/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: token xxxxx-yyyyy-zzzzz\r\n"
        wire.sendall((head + rest).encode())
        if how is not None:
            wire.shutdown(how)
        answer = b""
        while chunk := wire.recv(65536):
            answer += chunk
        return answer


def send_incomplete(kvitto: Running, rest: str) -> bytes:
    """Send the beginning of a request and close the sending side; return the answer."""
    return send(kvitto, rest, socket.SHUT_WR)


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
    receipt = answer.json()["receipt"]
    assert kvitto.outcome(receipt)["reason"] == "not-json"
    detail = kvitto.rows("SELECT detail FROM reporting.dead_letters WHERE receipt = %s", receipt)
    assert detail == [{"detail": "compressed (gzip)"}]
    query = "SELECT headers FROM kvitto.receipts JOIN kvitto.bodies USING (receipt) WHERE receipt = %s"
    assert kvitto.rows(query, receipt)[0]["headers"] == {"Content-Encoding": "gzip"}


def test_livez_and_readyz_answer_200(kvitto: Running) -> None:
    assert kvitto.client.get("/livez").status_code == 200
    assert kvitto.client.get("/readyz").status_code == 200


def counted(kvitto: Running, *labels: str) -> float:
    """Return how many requests were counted with these labels."""
    text = kvitto.metrics("ingest")
    lines = [line for line in text.splitlines() if line.startswith("kvitto_webhook_requests_total{")]
    return sum(float(line.split()[-1]) for line in lines if all(f'"{label}"' in line for label in labels))


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("POST", "/webhooks/kompar/contracts", ("kompar", "404", "not-found")),
        ("POST", "/webhooks/nobody", ("unknown", "404", "not-found")),
        ("GET", "/webhooks/kompar/decisions", ("kompar", "405", "method-not-allowed")),
        ("POST", "/livez", ("unknown", "405", "method-not-allowed")),
    ],
)
def test_wrong_paths_and_methods_are_counted(kvitto: Running, method: str, path: str, labels: tuple[str, ...]) -> None:
    before = counted(kvitto, *labels)
    assert "POST" not in kvitto.client.request(method, path).json()["title"]
    assert counted(kvitto, *labels) == before + 1


def test_a_body_beyond_the_limit_is_counted(kvitto: Running) -> None:
    before = counted(kvitto, "kompar", "413")
    problem(kvitto.post("applications", b"x" * (26 * MIB)), 413)
    assert counted(kvitto, "kompar", "413") == before + 1


@pytest.mark.parametrize("length", ["Content-Length: 0\r\n", "", "Transfer-Encoding: chunked\r\n"])
def test_an_authentic_delivery_without_a_body_is_503(kvitto: Running, appended: Callable[[], int], length: str) -> None:
    before, was = appended(), counted(kvitto, "kompar", "503", "empty-body")
    answer = send(kvitto, f"Connection: close\r\n{length}\r\n" + ("0\r\n\r\n" if "chunked" in length else ""))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After" in answer or b"retry-after" in answer
    assert (appended(), counted(kvitto, "kompar", "503", "empty-body")) == (before, was + 1)


def test_a_sender_that_hangs_up_is_not_counted_as_answered(kvitto: Running) -> None:
    before = counted(kvitto, "kompar", "none", "sender-gone")
    answered = counted(kvitto, "kompar", "503")
    send_incomplete(kvitto, "Content-Length: 1000\r\n\r\nhalf")
    eventually(lambda: counted(kvitto, "kompar", "none", "sender-gone") == before + 1, "the sender counted")
    assert counted(kvitto, "kompar", "503") == answered


def test_slow_bodies_without_a_valid_signature_stop_nothing_and_are_ended(kvitto: Running) -> None:
    """More of them than may be on their way at once, each with one byte of its body sent."""
    head = f"POST /webhooks/solaris HTTP/1.1\r\nHost: x\r\nSolaris-Webhook-Event-Type: {CREDIT_LINE}\r\n"
    host, _, port = kvitto.ingest.removeprefix("http://").partition(":")
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(300)]
        for connection in slow:
            connection.sendall(f"{head}Content-Length: 1000\r\n\r\nx".encode())
        for _ in range(3):  # each has its own time limit
            assert kvitto.client.get("/readyz").status_code == 200
            assert kvitto.post("decisions", b"{}").status_code == 200
            sample = request("beside slow bodies", {"id": "beside-slow"})
            answer = kvitto.client.post(sample.path, content=sample.body, headers=sample.headers)
            assert answer.status_code == 200
        ends = [connection.recv(4096) for connection in slow]
    reasons = Counter(json.loads(end.partition(b"\r\n\r\n")[2])["reason"] for end in ends)
    assert reasons.keys() == {"body-too-slow", "too-many-bodies"}


@pytest.mark.slow
def test_a_body_at_an_acceptable_rate_has_the_time_that_its_size_needs(kvitto: Running) -> None:
    """At 100 kB/s it takes longer than a body of no size may take."""

    def parts() -> Iterator[bytes]:
        for _ in range(15):
            time.sleep(1)
            yield b"x" * 100_000

    headers = {"Authorization": f"token {TOKEN}"}
    answer = kvitto.client.post("/webhooks/kompar/decisions", content=parts(), headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_slow_sender_delays_no_other(kvitto: Running) -> None:
    body = json.dumps({"application_id": "slow", "accepted": True}).encode()
    head = f"POST /webhooks/kompar/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: token {TOKEN}\r\n"
    host, _, port = kvitto.ingest.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
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
        with socket.create_connection((host, int(port)), timeout=20) as sender:
            sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            eventually(lambda: bool(kvitto.rows(waits)), "ingest before the overflow")
        time.sleep(0.5)  # of an answer within 0.1 s, nobody asks
    query = "SELECT receipt FROM reporting.deliveries WHERE entity_id = 'hung-up'"
    eventually(lambda: bool(kvitto.rows(query)), "the delivery in the ledger")
    (row,) = kvitto.rows(query)
    assert not answer_of(kvitto, row["receipt"])["answer_complete"]
