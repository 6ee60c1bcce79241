"""An ingest process that is stopped, seen from its socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deploy.edges import Edge, edges
from tests.e2e.deploy.load import BODY, HEADERS, PATH
from tests.support.servers import eventually

HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n{HEAD}\r\n".encode() + BODY


@pytest.fixture
def edge(edge_environment: dict[str, str], tmp_path: Path) -> Iterator[Edge]:
    with edges(tmp_path, edge_environment, 1) as (found,):
        yield found


def connect(edge: Edge, seconds: float = 10) -> socket.socket:
    """Return a connection to the process."""
    host, _, port = edge.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=seconds)


def turns_away(edge: Edge) -> bool:
    """Return whether a new connection gets no answer; a refusal is none of that, and an error here."""
    try:
        connect(edge, 0.05).close()
    except TimeoutError:
        return True
    return False


def answer(connection: socket.socket) -> bytes:
    """Return all that comes, and hang up."""
    with connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_connections_that_were_there_before_the_stop_are_served_and_later_ones_are_not(edge: Edge) -> None:
    """One has sent nothing yet, one is in the middle of its body: a balancer cannot take back either."""
    silent, halfway = connect(edge), connect(edge)
    halfway.sendall(REQUEST[:-10])
    edge.process.terminate()
    silent.sendall(REQUEST)
    eventually(lambda: turns_away(edge), "new connections turned away", 5)
    halfway.sendall(REQUEST[-10:])
    assert answer(silent).startswith(b"HTTP/1.1 200")
    assert answer(halfway).startswith(b"HTTP/1.1 200")
    assert edge.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        connect(edge)
