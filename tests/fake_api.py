"""A provider's API that answers what a test tells it: a small HTTPS server."""

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
    """What is answered; `content` is sent as it is, `document` as JSON. Status 0 is no answer at all, -1 never one."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


CUT_OFF = Answer(0)
HANGS = Answer(-1)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was received."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Its body's JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class FakeApi:
    """Answers by `METHOD /path`: what was told for it, one after the other, the last for ever; else 404."""

    url: str
    authority: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    ended: Event = field(default_factory=Event)

    @property
    def lines(self) -> list[str]:
        """What was called, in order."""
        return [call.line for call in self.calls]

    def told(self, call: Call) -> Answer:
        """Return what to answer."""
        self.calls.append(call)
        told = self.answers.get(call.line.partition("?")[0], [Answer(404, {"success": False, "message": "no such"})])
        return told.pop(0) if len(told) > 1 else told[0]


@contextmanager
def fake_api(folder: Path) -> Iterator[FakeApi]:
    """Serve one under a certificate of an authority of its own."""
    authority = Authority(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.daemon_threads = True
        server.socket = authority.issue("api").context().wrap_socket(server.socket, server_side=True)
        found = FakeApi(f"https://127.0.0.1:{server.server_port}", str(authority.path))
        server.RequestHandlerClass = _handler(found)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            found.ended.set()
            server.shutdown()
            thread.join()


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = api.told(Call(f"{self.command} {self.path}", dict(self.headers), body))
            if told.status < 1:
                if told is HANGS:
                    api.ended.wait(60)
                self.close_connection = True
                return
            content = told.content if told.document is None else json.dumps(told.document).encode()
            self.send_response(told.status)
            for name, value in {**told.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    for method in ("GET", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._answer)
    return Handler
