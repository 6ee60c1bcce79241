"""A collector that keeps the spans it is sent by OTLP over HTTP."""

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.support.kvitto_process import ROOT

# An environment that has OpenTelemetry, by tests/compat/prepare.
OTEL = ROOT / ".compat" / "otel"
PROGRAM = (str(OTEL / "bin" / "python"), "-m", "app.cli")


@dataclass
class Collector:
    """Spans by service, in order of arrival."""

    url: str
    spans: list[tuple[str, Any]] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Serve until the block ends."""
    assert OTEL.exists(), "OpenTelemetry is missing: run tests/compat/prepare-otel"
    sys.path += map(str, OTEL.glob("lib/python*/site-packages"))
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {each.key: each.value.string_value for each in resource.resource.attributes}
                found.spans += [(named["service.name"], span) for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()
