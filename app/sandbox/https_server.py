"""Serves HTTPS with a thread for each connection: good enough for a sandbox, not meant for more."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    """Tells nothing of requests: what matters of them is in answers and in the record."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - named by werkzeug
        """Drop what would be logged."""


@contextmanager
def serving(app: Flask, host: str, port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Serve for the duration of a block; yield the port."""
    server = make_server(host, port, app, threaded=True, request_handler=_Quiet, ssl_context=context)
    # Hands are shaken in a connection's own thread: whoever connects and is silent holds up nobody.
    server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="server")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
