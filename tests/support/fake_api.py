"""A fake API of a provider: a small HTTPS server that answers as a test says."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from app.local.certificates import Authority


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `content` is sent as it is, `document` as JSON. Status 0 closes the connection, -1 hangs."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


CUT_OFF = Answer(0)
HANGS = Answer(-1)


@dataclass(frozen=True, slots=True)
class Call:
    """A received request."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON of its body."""
        return json.loads(self.body)


@dataclass(slots=True)
class FakeApi:
    """`answers` by `METHOD /path` are used one after the other, the last one repeatedly; anything else gets 404."""

    url: str
    authority: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    ended: Event = field(default_factory=Event)

    @property
    def lines(self) -> list[str]:
        """The request lines, in order."""
        return [call.line for call in self.calls]

    def answer(self, call: Call) -> Answer:
        """Record a request, and return its answer."""
        self.calls.append(call)
        left = self.answers.get(call.line.partition("?")[0], [Answer(404, {"success": False, "message": "no such"})])
        return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def fake_api(folder: Path) -> Iterator[FakeApi]:
    """Serve an API, under a certificate of its own authority."""
    authority = Authority(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.daemon_threads = True
        server.socket = authority.issue("api").context().wrap_socket(server.socket, server_side=True)
        api = FakeApi(f"https://127.0.0.1:{server.server_port}", str(authority.path))
        server.RequestHandlerClass = _handler(api)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield api
        finally:
            api.ended.set()
            server.shutdown()
            thread.join()


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = api.answer(Call(f"{self.command} {self.path}", dict(self.headers), body))
            if answer.status < 1:
                if answer is HANGS:
                    api.ended.wait(60)
                self.close_connection = True
                return
            content = answer.content if answer.document is None else json.dumps(answer.document).encode()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    for method in ("GET", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)
    return Handler
