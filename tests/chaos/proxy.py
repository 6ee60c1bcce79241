"""A TCP proxy that hangs up in the middle of a request, or after it was executed and before the reply."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

# Called for every marked request or its reply; true means hang up here.
Hook = Callable[[], bool]


class Proxy:
    """Connects a client and a server; its hooks are called for requests that contain `marker`."""

    def __init__(self, url: str, marker: bytes) -> None:
        parts = urlsplit(url)
        self._target = _target(url)
        self._marker = marker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()
        self.on_request: Hook | None = None
        self.on_reply: Hook | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, url: str) -> None:
        """Connect new clients with another server; open connections stay as they are."""
        self._target = _target(url)

    def close(self) -> None:
        """Accept no more connections, and cut the open ones."""
        _hang_up(self._listener, *self._open)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            _hang_up(client)
            return
        self._open |= {client, server}
        marked = threading.Event()
        for forward in (self._requests, self._replies):
            threading.Thread(target=forward, args=(client, server, marked), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, marked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            for data in _chunks(client):
                if self._marker in data:
                    marked.set()
                    if self._is_cut(self.on_request):
                        server.sendall(data[: len(data) // 2])
                        break
                server.sendall(data)
        self._drop(client, server)

    def _replies(self, client: socket.socket, server: socket.socket, marked: threading.Event) -> None:
        with contextlib.suppress(OSError):
            for data in _chunks(server):
                if marked.is_set() and self._is_cut(self.on_reply):
                    break  # it was executed, and the reply never arrives
                marked.clear()
                client.sendall(data)
        self._drop(client, server)

    def _is_cut(self, hook: Hook | None) -> bool:
        if hook is None or not hook():
            return False
        self.cuts += 1
        return True

    def _drop(self, *ends: socket.socket) -> None:
        _hang_up(*ends)
        self._open -= set(ends)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies between Kvitto and its servers."""

    redis: Proxy
    postgres: Proxy


def _target(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _chunks(source: socket.socket) -> Iterator[bytes]:
    while data := source.recv(1 << 20):
        yield data


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes a blocked reader; closing alone would not
        end.close()
