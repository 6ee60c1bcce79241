"""A slow network before a server."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_PART = 64 * 1024
_BYTES_PER_SECOND = 8_000_000


@contextmanager
def slow_network(dsn: str) -> Iterator[str]:
    """Forward to a server at 8 MB/s; yield the address that leads there."""
    target = urlsplit(dsn)

    def forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            while part := source.recv(_PART):
                time.sleep(len(part) / _BYTES_PER_SECOND)
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
