"""Serves HTTPS with one thread per connection, which is enough for a sandbox."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: answers and the attempt log hold all that matters."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - named by werkzeug
        """Drop the message."""


@contextmanager
def serving(app: Flask, host: str, port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Serve for the duration of a block; yield the port."""
    server = make_server(host, port, app, threaded=True, request_handler=_QuietHandler, ssl_context=context)
    # The TLS handshake runs in the connection's own thread, so a silent client blocks no other.
    server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="server")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
