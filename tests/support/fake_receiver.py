"""A fake receiver of webhooks: a small HTTP server that records requests, and answers as a test says."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Request:
    """A received request. `at`: monotonic time of its last byte; `seconds`: how long its body took to arrive."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    seconds: float


@dataclass(slots=True)
class Receiver:
    """The receiver's address, and its requests in order of arrival."""

    url: str
    requests: list[Request] = field(default_factory=list)


# Returns the status for the newest request, which is the last of the list. None: no answer at all.
Answers = Callable[[list[Request]], int | None]


@contextmanager
def receiver(answers: Answers = lambda _: 200, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve a receiver; every 200 has its own receipt."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            started = time.monotonic()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ended = time.monotonic()
            with lock:  # otherwise two simultaneous requests would both see two
                running.requests.append(Request(self.path, dict(self.headers), body, ended, ended - started))
                so_far = list(running.requests)
            status = answers(so_far)
            if status is None:
                self.close_connection = True
                return
            content = b"" if status == 204 else json.dumps({"receipt": str(uuid4())}).encode()
            self.send_response(status)
            if content:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        running = Receiver(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
