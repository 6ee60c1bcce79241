"""What processes call to trace deliveries. Without an endpoint it does nothing, and imports nothing.

A trace has four spans, named by the conventions for messaging: `receive` the request and `send` it to its store, in
ingest; `process` it and `settle` it in its store, in a worker.
"""

import random
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import NamedTuple, Protocol, Self
from uuid import UUID

from config.settings import TracingSettings


class Handled(NamedTuple):
    """A delivery that a worker handled: its receipt, outcome, and the trace that it belongs to, empty without one."""

    receipt: UUID
    outcome: str
    traceparent: str


class HandledTimes(NamedTuple):
    """When a worker began to process a batch, had stored it, and had acknowledged it: nanoseconds since 1970."""

    began: int
    stored: int
    acknowledged: int


class Trace:
    """The trace of a request in ingest. This one is not sampled: it records nothing."""

    # What the delivery carries to its worker, in the form of the header of this name; empty if it is not sampled.
    traceparent = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """End the span `receive`."""

    def sending(self, _receipt: UUID) -> AbstractContextManager[object]:
        """Record a span `send` while a delivery is being stored."""
        return nullcontext()


class Tracer(Protocol):
    """Records traces."""

    def receive(self, provider: str, sent_traceparent: str) -> Trace:
        """Begin the trace of a request. The provider's own trace, if it names one, is linked."""

    def handled(self, provider: str, deliveries: Iterable[Handled], times: HandledTimes) -> None:
        """Record what a worker did with a batch: spans for each delivery that is traced."""

    def close(self) -> None:
        """Send what was recorded, for a second at most."""


class NoTracer:
    """Records nothing."""

    def receive(self, _provider: str, _sent_traceparent: str) -> Trace:
        """Return a trace that records nothing."""
        return _NOT_SAMPLED

    def handled(self, provider: str, deliveries: Iterable[Handled], times: HandledTimes) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SamplingTracer:
    """Traces a share of the requests, chosen by chance; the others cost nothing more."""

    def __init__(self, tracer: Tracer, share: float) -> None:
        self._tracer = tracer
        self._share = share

    def receive(self, provider: str, sent_traceparent: str) -> Trace:
        """Begin the trace of a request, if it is chosen."""
        if random.random() >= self._share:  # noqa: S311 - nothing depends on who is chosen
            return _NOT_SAMPLED
        return self._tracer.receive(provider, sent_traceparent)

    def handled(self, provider: str, deliveries: Iterable[Handled], times: HandledTimes) -> None:
        """Record what a worker did with the deliveries that ingest chose."""
        traced = [delivery for delivery in deliveries if delivery.traceparent]
        if traced:
            self._tracer.handled(provider, traced, times)

    def close(self) -> None:
        """Send what was recorded."""
        self._tracer.close()


_NOT_SAMPLED = Trace()


def start(process: str, settings: TracingSettings) -> Tracer:
    """Return what traces deliveries in this process. Call it after the last fork: it starts a thread that sends."""
    if not settings.otlp_endpoint:
        return NoTracer()
    from app.tracing.otlp import OtlpTracer  # noqa: PLC0415 - an extra; it takes 9 MB

    return SamplingTracer(OtlpTracer(process, settings), settings.traced_share)
