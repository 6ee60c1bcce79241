"""Free ports are never chosen twice; a busy address is waited for."""

import socket
import threading

import pytest

from app.local.ports import free_port, hold, obstacle
from config.environment import ConfigurationError


def test_free_port_excludes_reserved_ports() -> None:
    reserved: set[int] = set()
    for _ in range(200):
        port = free_port(reserved)
        assert port not in reserved
        reserved.add(port)


def test_hold_waits_for_an_address_that_is_busy_for_a_moment() -> None:
    former = socket.create_server(("127.0.0.1", 0))
    bind = former.getsockname()
    ending = threading.Timer(0.3, former.close)
    ending.start()
    with hold("INGEST_BIND", bind, "test"):
        assert former.fileno() == -1
    ending.join()


def test_hold_waits_for_the_process_that_holds_the_address() -> None:
    bind = "127.0.0.1", free_port()
    former = hold("INGEST_BIND", bind, "test")
    former.__enter__()
    ended = threading.Event()

    def end() -> None:
        ended.set()
        former.__exit__(None, None, None)

    threading.Timer(0.3, end).start()
    with hold("INGEST_BIND", bind, "test"):
        assert ended.is_set()


def test_hold_of_an_address_that_stays_busy_is_a_fault() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as former,
        pytest.raises(ConfigurationError, match="INGEST_BIND: cannot be bound"),
        hold("INGEST_BIND", former.getsockname(), "test", busy_seconds=0.2),
    ):
        pass


def test_address_of_another_machine_is_reported_at_once() -> None:
    assert obstacle("192.0.2.1", 80, busy_seconds=1e9) == "Cannot assign requested address"
