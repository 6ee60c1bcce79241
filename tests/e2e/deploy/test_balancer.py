"""Caddy under the configuration of deploy/caddy, in front of real ingest processes and of stubs."""

import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.ingest.request_body import GRACE_SECONDS, SLOWEST_BYTES_PER_SECOND
from tests.e2e.deploy.balancer import Balancer, adapted, balancer
from tests.e2e.deploy.clients import sending
from tests.e2e.deploy.composition import SERVICES
from tests.e2e.deploy.conftest import Front
from tests.e2e.deploy.load import HEADERS, PATH, deliver
from tests.e2e.deploy.stubs import OK, stub
from tests.support import process_tree
from tests.support.metrics import sample, scrape
from tests.support.ports import free_port
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.servers import eventually, status_of

LIMIT = 25 * 1024 * 1024
NO_BODY = "Content-Length: 0\r\nConnection: close"
FORWARDED = ("For", "Host", "Proto", "Port", "Prefix")


@pytest.fixture(scope="module")
def deserted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    """A balancer with nothing behind it."""
    with balancer(tmp_path_factory.mktemp("deserted"), [f"127.0.0.1:{free_port()}" for _ in range(2)]) as found:
        yield found


def chunks(size: int) -> Iterator[bytes]:
    """Yield a body of this size in pieces, so that its length is not declared."""
    for start in range(0, size, 64 * 1024):
        yield b" " * min(64 * 1024, size - start)


def test_a_delivery_over_tls_is_appended_and_answered_with_its_receipt(front: Front) -> None:
    with front.balancer.client() as client:
        answer = deliver(client)
    assert answer.status_code == 200
    assert answer.json().keys() == {"receipt"}
    assert front.kept() >= 1


def test_refusals_of_ingest_pass_as_they_are(front: Front) -> None:
    with front.balancer.client() as client:
        assert deliver(client, headers={"Authorization": "token wrong"}).status_code == 401
        answer = client.get(PATH)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("clients", "rounds"), [(8, 1), pytest.param(64, 3, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_a_rolling_restart_under_load_fails_no_delivery(front: Front, clients: int, rounds: int) -> None:
    before = front.kept()
    with sending(clients, front.balancer.connection) as answers:
        for edge in front.edges * rounds:
            assert edge.restart() == 0
            answers.await_more(clients)
    assert answers.counts.keys() == {"200"}
    assert front.kept() - before == answers.counts["200"]


def test_a_killed_ingest_costs_no_more_than_what_it_was_answering(front: Front) -> None:
    before = front.kept()
    victim = front.edges[0]
    with sending(8, front.balancer.connection) as answers:
        answers.await_more(20)
        process_tree.kill(victim.process.pid, *process_tree.below(victim.process.pid))
        victim.process.wait()
        answers.await_more(40)
        lost = answers.counts.total() - answers.counts["200"]
        answers.await_more(40)
    victim.start()
    assert answers.counts.keys() <= {"200", "503"}
    assert lost <= 8  # as many as there are senders
    assert answers.counts.total() - answers.counts["200"] == lost
    assert front.kept() - before >= answers.counts["200"]


def test_with_no_ingest_left_the_answer_is_503_and_when_to_come_again(deserted: Balancer) -> None:
    with deserted.client() as client:
        answer = deliver(client)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 503
    assert httpx.get(f"{deserted.health}/readyz", timeout=60).is_server_error


def test_what_was_sent_once_is_not_sent_to_the_other(tmp_path: Path) -> None:
    with stub(b"") as first, stub(b"") as second, balancer(tmp_path, [first.address, second.address]) as found:
        with found.client() as client:
            assert deliver(client).status_code == 503
        assert len(first.headers) + len(second.headers) == 1


def test_what_was_not_sent_goes_to_the_other(tmp_path: Path) -> None:
    with stub(OK) as other, balancer(tmp_path, [f"127.0.0.1:{free_port()}", other.address]) as found:
        with found.client() as client:
            assert [deliver(client).status_code for _ in range(4)] == [200] * 4
        assert len(other.headers) == 4


def test_what_the_sender_claims_of_itself_is_not_handed_on(tmp_path: Path) -> None:
    forged = dict.fromkeys([*(f"X-Forwarded-{what}" for what in FORWARDED), "X-Real-IP", "Forwarded"], "203.0.113.9")
    with stub(OK) as server, balancer(tmp_path, [server.address, server.address]) as found, found.client() as client:
        deliver(client, headers=forged)
    (headers,) = server.headers
    assert "203.0.113.9" not in headers.values()
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"


def test_forged_origins_change_nothing_at_ingest(front: Front) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Prefix": "/elsewhere", "Forwarded": "for=203.0.113.9"}
    with httpx.Client(base_url=f"http://{front.edges[1].address}") as client, Redis.from_url(front.redis) as redis:
        assert deliver(client, headers=forged).status_code == 200
        ((_, fields),) = redis.xrevrange("inbox:kompar", count=1)
    assert b"203.0.113.9" not in b"".join(fields.values())
    assert b"elsewhere" not in b"".join(fields.values())


@pytest.mark.parametrize("body", [b" " * (LIMIT + 1), chunks(LIMIT + 1)], ids=["declared", "chunked"])
def test_a_body_beyond_the_limit_is_answered_413(front: Front, body: bytes) -> None:
    with front.balancer.client() as client:
        answer = deliver(client, body)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["reason"] == "request-entity-too-large"


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_the_limit_is_taken(front: Front, chunked: bool) -> None:
    def is_kept() -> bool:
        return deliver(client, chunks(LIMIT) if chunked else b" " * LIMIT).status_code == 200

    with front.balancer.client() as client:  # on a busy machine the stores may not take it in time
        eventually(is_kept, "a body of the limit kept", 120)


def test_a_body_has_the_time_that_ingest_would_give_it(tmp_path: Path) -> None:
    (server,) = (
        each for each in adapted(tmp_path)["apps"]["http"]["servers"].values() if "tls_connection_policies" in each
    )
    assert server["read_timeout"] >= 1e9 * (GRACE_SECONDS + LIMIT / SLOWEST_BYTES_PER_SECOND)


@pytest.mark.slow
def test_a_body_that_takes_more_than_half_a_minute_is_taken(tmp_path: Path) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(36):
            time.sleep(1)  # that is how slow this sender is
            yield b" "

    with stub(OK) as server, balancer(tmp_path, [server.address] * 2) as found, found.client() as client:
        assert deliver(client, slowly()).status_code == 200


def test_a_body_that_is_not_complete_never_reaches_ingest(tmp_path: Path) -> None:
    beginning = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\neight by"
    with stub(OK) as server, balancer(tmp_path, [server.address, server.address]) as found, found.connect() as slow:
        slow.sendall(beginning.encode())
        with found.client() as client:  # it is served meanwhile
            assert deliver(client).status_code == 200
        checks = [headers for headers in server.headers if "content-length" not in headers]
        assert len(server.headers) - len(checks) == 1
        slow.sendall(b"t")
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1", 404),
        ("POST /webhooks HTTP/1.1", 404),
        ("POST /webhooks/ HTTP/1.1", 404),
        ("POST //webhooks//kompar/applications HTTP/1.1", 404),
        ("POST /webhooks/kompar/applications/ HTTP/1.1", 401),
        ("GET /readyz HTTP/1.1", 404),
        ("GET /livez HTTP/1.1", 404),
        ("GET /metrics HTTP/1.1", 404),
        (f"GET /{'a' * 10000} HTTP/1.1", 404),
        ("BROKEN", 400),
    ],
)
def test_nothing_else_is_reached_and_nothing_is_redirected(front: Front, request_line: str, status: int) -> None:
    with front.balancer.connect() as connection:
        connection.sendall(
            f"{request_line}\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert int(answer.split()[1]) == status
    assert b"caddy" not in answer.lower()


def test_answers_are_counted_by_status_whoever_gave_them(front: Front) -> None:
    """Those to what is no HTTP are not: Caddy's library gives them, as Granian's does."""

    def counted(status: int) -> float:
        of_servers = {"handler": "subroute", "method": "POST"}
        text = scrape(front.balancer.metrics)
        return sample(text, "caddy_http_request_duration_seconds_count", code=f"{status}", **of_servers) or 0.0

    before = {status: counted(status) for status in (200, 404, 405, 413, 431)}
    assert counted(431) == 0
    with front.balancer.client() as client:
        assert deliver(client).status_code == 200
        assert client.post("/elsewhere").status_code == 404
        assert deliver(client, headers={f"X-{number}": "" for number in range(120)}).status_code == 431
    eventually(lambda: counted(431) == 1, "the answer to too many headers is counted")
    assert {status: counted(status) - before[status] for status in before} == {200: 1, 404: 1, 405: 0, 413: 0, 431: 1}


def test_plain_http_is_refused_and_not_redirected(front: Front) -> None:
    assert status_of(f"http://{front.balancer.host}:{front.balancer.port}{PATH}") == 400


def test_its_log_shows_no_secret_and_no_query(front: Front) -> None:
    with front.balancer.client() as client:
        client.post(f"{PATH}?token=in-the-query", content=b"in-the-body", headers=HEADERS | {"X-Any": "in-a-header"})
    log = front.balancer.log.read_text()
    assert f'"uri":"{PATH}"' in log
    assert not [word for word in (TOKEN, "in-the-query", "in-the-body", "in-a-header") if word in log]


def test_its_health_check_shows_whether_it_lives(front: Front) -> None:
    word, *command = SERVICES["caddy"]["healthcheck"]["test"]
    assert word == "CMD"
    here = [part.replace("http://127.0.0.1:8081", front.balancer.health) for part in command]
    gone = [part.replace(":8081", f":{free_port()}") for part in command]
    assert subprocess.run(here, capture_output=True, check=False).returncode == 0, shlex.join(here)
    assert subprocess.run(gone, capture_output=True, check=False).returncode != 0
    assert status_of(f"{front.balancer.health}/readyz") == 200
