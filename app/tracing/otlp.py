"""Records spans with OpenTelemetry's SDK, and sends them by OTLP over HTTP."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.tracing.tracer import Handled, HandledTimes, Trace
from config.settings import TracingSettings

_PATH = "/v1/traces"
# A collector that takes longer is away; what it was to be sent is dropped.
_SEND_SECONDS = 1
_propagator = TraceContextTextMapPropagator()


class OtlpTracer:
    """Traces every request; a thread sends the spans every few seconds and drops them if nobody takes them."""

    def __init__(self, process: str, settings: TracingSettings) -> None:
        exporter = OTLPSpanExporter(
            settings.otlp_endpoint.rstrip("/") + _PATH, certificate_file=settings.authority or None,
            headers=dict(settings.otlp_headers),
            timeout=_SEND_SECONDS,
        )  # fmt: skip
        resource = Resource.create({SERVICE_NAME: f"kvitto-{process}"})
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(exporter)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("kvitto")

    def receive(self, provider: str, sent_traceparent: str) -> Trace:
        """Begin the trace of a request."""
        # Linked, never the parent: a sender must not decide what is traced here, or how it is joined.
        theirs = get_current_span(_propagator.extract({"traceparent": sent_traceparent}, Context())).get_span_context()
        links = [Link(theirs)] if theirs.is_valid else []
        span = self._tracer.start_span(
            f"receive {provider}", Context(), SpanKind.SERVER, _attributes(provider, "receive"), links
        )
        return _RequestTrace(self, provider, span)

    def start_child(self, name: str, provider: str, parent: Context, kind: SpanKind, start_time: int) -> Span:
        """Start a span in a trace, at a time in nanoseconds since 1970."""
        attributes = _attributes(provider, name)
        return self._tracer.start_span(f"{name} {provider}", parent, kind, attributes, start_time=start_time)

    def handled(self, provider: str, deliveries: Iterable[Handled], times: HandledTimes) -> None:
        """Record spans `process` and `settle` of each delivery."""
        for receipt, outcome, traceparent in deliveries:
            parent = _propagator.extract({"traceparent": traceparent}, Context())
            process = self.start_child("process", provider, parent, SpanKind.CONSUMER, times.began)
            process.set_attributes({"messaging.message.id": str(receipt), "kvitto.outcome": outcome})
            process.end(times.stored)
            acknowledgement = self.start_child(
                "settle", provider, set_span_in_context(process, Context()), SpanKind.CLIENT, times.stored
            )
            acknowledgement.set_attribute("messaging.message.id", str(receipt))
            acknowledgement.end(times.acknowledged)

    def close(self) -> None:
        """Send what was recorded, for a second at most."""
        self._processor.shutdown()


class _RequestTrace(Trace):
    def __init__(self, tracer: OtlpTracer, provider: str, span: Span) -> None:
        self._tracer = tracer
        self._provider = provider
        self._span = span
        self._context = set_span_in_context(span, Context())
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, self._context)
        self.traceparent = carrier["traceparent"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        if error is not None:
            self._span.set_status(StatusCode.ERROR, getattr(error, "reason", type(error).__name__))
        self._span.end()

    @contextmanager
    def sending(self, receipt: UUID) -> Iterator[None]:
        self._span.set_attribute("messaging.message.id", str(receipt))
        send = self._tracer.start_child("send", self._provider, self._context, SpanKind.PRODUCER, time.time_ns())
        send.set_attribute("messaging.message.id", str(receipt))
        try:
            yield
        finally:
            send.end()


def _attributes(provider: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "kvitto",
        "messaging.destination.name": provider,
        "messaging.operation.name": operation,
    }
