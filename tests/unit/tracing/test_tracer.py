"""Which requests are traced, and what a worker records of a batch."""

from collections.abc import Iterable
from uuid import UUID

import pytest

from app.tracing.tracer import Handled, HandledTimes, NoTracer, SamplingTracer, Trace, start
from config.environment import Environment
from config.settings import TracingSettings

TIMES = HandledTimes(1, 2, 3)


class Recorder(NoTracer):
    """Records what it is asked to record."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.recorded: list[Handled] = []

    def receive(self, provider: str, sent_traceparent: str) -> Trace:
        self.received.append(f"{provider} {sent_traceparent}")
        return Trace()

    def handled(self, _provider: str, deliveries: Iterable[Handled], _times: HandledTimes) -> None:
        self.recorded += deliveries


@pytest.mark.parametrize(("share", "traced"), [(0.0, 0), (1.0, 1000)])
def test_share_of_requests_is_traced(share: float, traced: int) -> None:
    recorder = Recorder()
    for _ in range(1000):
        SamplingTracer(recorder, share).receive("kompar", "theirs")
    assert recorder.received == ["kompar theirs"] * traced


def test_some_of_many_requests_are_traced() -> None:
    recorder = Recorder()
    for _ in range(1000):
        SamplingTracer(recorder, 0.5).receive("kompar", "")
    assert 300 < len(recorder.received) < 700


def test_worker_records_the_deliveries_that_ingest_chose() -> None:
    recorder = Recorder()
    chosen, other = Handled(UUID(int=1), "stored", "00-a-b-01"), Handled(UUID(int=2), "stored", "")
    SamplingTracer(recorder, 0.0).handled("kompar", [chosen, other], TIMES)
    assert recorder.recorded == [chosen]


def test_nothing_is_traced_without_an_endpoint() -> None:
    variables = {"DATABASE_URL": "postgresql://127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1"}
    tracer = start("ingest", TracingSettings.load(variables))
    assert isinstance(tracer, NoTracer)
    with tracer.receive("kompar", "") as trace, trace.sending(UUID(int=1)):
        assert trace.traceparent == ""


@pytest.mark.parametrize("share", ["2", "-0.1", "some", "nan"])
def test_share_outside_its_range_is_a_fault(share: str) -> None:
    environment = Environment({"OTEL_TRACES_SAMPLER_ARG": share})
    TracingSettings.read(environment)
    with pytest.raises(Exception, match="OTEL_TRACES_SAMPLER_ARG"):
        environment.check()
