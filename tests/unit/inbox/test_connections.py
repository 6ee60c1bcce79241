"""A server that says that it is not the primary loses the connection, by whatever code it says so."""

import socket
import threading
from contextlib import closing

import pytest

from app.errors import StoreUnavailableError
from app.inbox import client
from config.redis_address import RedisAddress


def answer(listener: socket.socket, reply: bytes, ended: threading.Event) -> None:
    """Answer the greeting of one connection, then every command with `reply`, until the client hangs up."""
    connection, _ = listener.accept()
    with connection:
        while command := connection.recv(65_536):
            connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n" if b"HELLO" in command else reply)
    ended.set()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("READONLY You can't write against a read only replica.", "redis-not-primary: READONLY"),
        ("NOREPLICAS Not enough good replicas to write.", "redis-not-primary: NOREPLICAS"),
        ("MASTERDOWN Link with MASTER is down", "redis-not-primary: MASTERDOWN"),
        ("CLUSTERDOWN The cluster is down", "redis-not-primary: CLUSTERDOWN"),
        ("UNBLOCKED force unblock from blocking operation", "redis-not-primary: UNBLOCKED"),
        ("LOADING Redis is loading the dataset in memory", "redis-loading"),
        ("MISCONF Errors writing to the AOF file", "redis-refuses: MISCONF"),
    ],
)
def test_reply_of_a_server_that_is_not_the_primary_closes_the_connection(reply: str, reason: str) -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = listener, f"-{reply}\r\n".encode(), ended
        threading.Thread(target=answer, args=arguments, daemon=True).start()
        with closing(client.connect(RedisAddress((("127.0.0.1", listener.getsockname()[1]),)))) as redis:
            with pytest.raises(StoreUnavailableError) as caught:
                client.ping(redis)
            assert str(caught.value) == reason
            assert ended.wait(30 if "MISCONF" not in reply else 0.1) is ("MISCONF" not in reply)
