"""A TCP forwarder before a server: new connections go to its present target, and those that are open stay."""

import contextlib
import socket
import threading


class Forwarder:
    """Forwards a free loopback port, and counts the connections that it takes."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Return the address of a Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> "Forwarder":
        return self

    def __exit__(self, *_: object) -> None:
        _hang_up(self._listener, *self._open)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            _hang_up(client)
            return
        self._open |= {client, server}
        threading.Thread(target=_copy, args=(server, client), daemon=True).start()
        _copy(client, server)
        self._open -= {client, server}


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _hang_up(source, sink)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes a blocked reader; closing alone would not
        end.close()
