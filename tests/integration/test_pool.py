"""Connections for threads that must finish by a deadline, on a slow network."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery
from app.errors import StoreUnavailableError
from app.storage import overflow
from app.storage.pool import Pool

SECONDS = 1.5
PART = 64 * 1024
BYTES_PER_SECOND = 8_000_000


@contextmanager
def slow_network(dsn: str) -> Iterator[str]:
    """Forward to a server at 8 MB/s; yield the address that leads there."""
    target = urlsplit(dsn)

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while part := source.recv(PART):
                time.sleep(len(part) / BYTES_PER_SECOND)
                sink.sendall(part)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((target.hostname, target.port))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=forward, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        port = listener.getsockname()[1]
        yield target._replace(netloc=target.netloc.replace(f":{target.port}", f":{port}")).geturl()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("knows_size", [True, False])
def test_a_large_delivery_has_the_time_that_its_size_needs(database: str, knows_size: bool) -> None:
    sealed = b"x" * 20_000_000  # 2.5 s on this network
    delivery = Delivery(uuid7(), "kompar", "decisions", {}, sealed)
    write = partial(overflow.append, delivery=delivery, not_before=datetime.now(UTC))
    with slow_network(database) as dsn:
        pool = Pool(dsn, "ingest", SECONDS)
        pool.run(lambda connection: connection.execute("SELECT 1"))
        if knows_size:
            pool.run(write, len(sealed))
        else:
            with pytest.raises(StoreUnavailableError):
                pool.run(write)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT FROM kvitto.overflow WHERE receipt = %s", [delivery.receipt]).rowcount
    assert found == int(knows_size)
