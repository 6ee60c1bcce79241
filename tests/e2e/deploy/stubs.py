"""A server that records the headers of requests, and gives one fixed answer or hangs up."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@dataclass(slots=True)
class Stub:
    """Its address, and the deliveries that arrived, each as headers by lower-case name."""

    address: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def stub(answer: bytes) -> Iterator[Stub]:
    """Serve; with an empty answer, hang up on every delivery after reading it."""
    recorded = Stub()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline()
            if not request:
                return
            lines = iter(lambda: self.rfile.readline().decode().strip(), "")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.rfile.read(int(headers.get("content-length", "0")))
            if request.startswith(b"GET /readyz "):  # the balancer asks whether it is ready, and it is
                self.wfile.write(OK)
                return
            recorded.headers.append(headers)
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        recorded.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield recorded
        server.shutdown()
        thread.join()
