"""Ingest processes that are stopped: no request fails, without any privilege."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from config.granian import OTHER_FILES
from tests.e2e.deploy.clients import sending
from tests.e2e.deploy.edges import Edge, edges
from tests.e2e.deploy.load import BODY, HEADERS, PATH
from tests.support.servers import eventually, status_of

pytestmark = pytest.mark.early
HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
# Seconds that a busy machine needs for what a test does meanwhile.
DRAIN = "8"
REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n{HEAD}\r\n".encode() + BODY


@pytest.fixture
def edge(edge_environment: dict[str, str], tmp_path: Path) -> Iterator[Edge]:
    with edges(tmp_path, edge_environment | {"DRAIN_SECONDS": DRAIN}, 1) as (found,):
        yield found


def connect(edge: Edge) -> socket.socket:
    """Return a connection to the process."""
    host, _, port = edge.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answer(connection: socket.socket) -> bytes:
    """Return all that comes, and hang up."""
    with connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def is_unready(edge: Edge) -> bool:
    return status_of(f"http://{edge.address}/readyz") == 503


def test_a_stopping_edge_is_unready_and_serves_until_its_drain_ends(edge: Edge) -> None:
    silent, halfway = connect(edge), connect(edge)
    halfway.sendall(REQUEST[:-10])
    with httpx.Client(base_url=f"http://{edge.address}") as kept:
        assert "Connection" not in kept.get("/livez").headers
        edge.process.terminate()
        eventually(lambda: is_unready(edge), "/readyz at 503")
        assert kept.post(PATH, content=BODY, headers=HEADERS).headers["Connection"] == "close"
    later = connect(edge)
    later.sendall(REQUEST)
    assert answer(later).startswith(b"HTTP/1.1 200")
    silent.sendall(REQUEST)
    assert answer(silent).startswith(b"HTTP/1.1 200")
    eventually(lambda: is_refused(edge), "new connections refused")
    halfway.sendall(REQUEST[-10:])  # in progress when the drain ended
    assert answer(halfway).startswith(b"HTTP/1.1 200")
    assert edge.process.wait(60) == 0


def is_refused(edge: Edge) -> bool:
    try:
        connect(edge).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("clients", "stops"), [(8, 1), pytest.param(64, 6, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_a_stop_beside_the_removal_of_the_endpoint_fails_no_request(
    edge_environment: dict[str, str], tmp_path: Path, clients: int, stops: int
) -> None:
    with edges(tmp_path, edge_environment | {"DRAIN_SECONDS": DRAIN}) as found:
        listed = list(found)  # as a service of Kubernetes lists its endpoints

        def connection(number: int) -> HTTPConnection:
            return HTTPConnection(listed[number % len(listed)].address, timeout=60)

        with sending(clients, connection) as answers:
            for number in range(stops):
                answers.await_more(clients)
                stopped = found[number % 2]
                stopped.process.terminate()
                listed.remove(stopped)
                assert stopped.process.wait(60) == 0
                stopped.start()
                listed.append(stopped)
            answers.await_more(clients)
    assert answers.counts.keys() == {"200"}


def test_idle_connections_keep_no_delivery_out(edge: Edge) -> None:
    """More than the edge has threads, or could once hold open."""
    idle = [connect(edge) for _ in range(1000)]
    with httpx.Client(base_url=f"http://{edge.address}") as client:
        assert client.post(PATH, content=BODY, headers=HEADERS).status_code == 200
        assert client.get("/readyz").status_code == 200
    for connection in idle:
        connection.close()


def test_beyond_the_limit_of_connections_a_delivery_is_answered_once_one_closes(
    edge_environment: dict[str, str], tmp_path: Path
) -> None:
    files = 1024
    with edges(tmp_path, edge_environment, 1, [f"--nofile={files}:{files}"]) as (edge,):
        idle = [connect(edge) for _ in range(files - OTHER_FILES)]
        late = connect(edge)
        late.sendall(REQUEST)
        late.settimeout(2)
        with pytest.raises(TimeoutError):
            late.recv(1)
        idle.pop().close()
        late.settimeout(60)
        assert late.recv(100).startswith(b"HTTP/1.1 200")
        for connection in (*idle, late):
            connection.close()


@pytest.mark.slow
def test_a_connection_is_kept_for_longer_than_a_balancer_keeps_it(edge: Edge) -> None:
    with connect(edge) as connection:
        connection.settimeout(65)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.sendall(REQUEST)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
