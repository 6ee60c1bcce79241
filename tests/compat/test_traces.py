"""One trace from the request to the row, in two processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import tracing
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import TINY
from tests.compat.otlp_collector import PROGRAM, Collector, collector
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.servers import eventually

THEIRS = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def traced(spans: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = SECRETS | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
        "OTEL_TRACES_SAMPLER_ARG": "1",
        "PROVIDERS": "kompar",
    }
    with running(tmp_path_factory.mktemp("traced") / "data", settings, program=PROGRAM) as kvitto:
        yield kvitto


def post(kvitto: Running, document: dict[str, object], traceparent: str = "") -> str:
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    headers |= {"traceparent": traceparent} if traceparent else {}
    answer = kvitto.client.post("/webhooks/kompar/decisions", content=json.dumps(document), headers=headers)
    receipt: str = answer.json()["receipt"]
    return receipt


def test_a_trace_leads_from_the_request_to_the_row(traced: Running, spans: Collector) -> None:
    receipt = post(traced, {"application_id": "traced", "note": "hidden"}, f"00-{THEIRS}-b7ad6b7169203331-01")
    assert traced.outcome(receipt)["outcome"] == "stored"

    def of_receipt() -> dict[str, object]:
        return {
            span.name: (service, span)
            for service, span in spans.spans
            if receipt in {each.value.string_value for each in span.attributes}
        }

    names = {"receive kompar", "send kompar", "process kompar", "settle kompar"}
    eventually(lambda: of_receipt().keys() == names, "four spans", 60)
    found = {span.name: span for _, span in spans.spans if span.name in names and _has(span, receipt)}
    receive, process = found["receive kompar"], found["process kompar"]
    assert len({span.trace_id for span in found.values()}) == 1
    assert found["send kompar"].parent_span_id == process.parent_span_id == receive.span_id
    assert found["settle kompar"].parent_span_id == process.span_id
    assert not receive.parent_span_id
    assert [link.trace_id.hex() for link in receive.links] == [THEIRS]  # linked, and not the parent
    assert receive.trace_id.hex() != THEIRS
    assert {each.value.string_value for each in process.attributes} >= {receipt, "stored", "kompar"}
    assert {service for service, _ in spans.spans} == {"kvitto-ingest", "kvitto-worker"}
    assert "hidden" not in "".join(map(str, spans.spans))


def test_a_delivery_in_the_overflow_keeps_its_trace(traced: Running, spans: Collector) -> None:
    receipt = post(traced, {"application_id": "traced-large", "note": "x" * 300_000})
    assert traced.outcome(receipt)["outcome"] == "stored"
    eventually(lambda: any(_has(span, receipt) for span in spans.named("process kompar")), "the worker's span", 60)
    (process,) = (span for span in spans.named("process kompar") if _has(span, receipt))
    eventually(lambda: any(_has(span, receipt) for span in spans.named("receive kompar")), "the request's span", 60)
    (receive,) = (span for span in spans.named("receive kompar") if _has(span, receipt))
    assert process.trace_id == receive.trace_id


def test_a_rejected_request_is_a_span_with_its_reason(traced: Running, spans: Collector) -> None:
    assert traced.post("decisions", b"", TOKEN).status_code == 503
    eventually(lambda: "empty-body" in [span.status.message for span in spans.named("receive kompar")], "its span", 60)


def test_a_collector_that_is_away_delays_nothing(tmp_path: Path) -> None:
    settings = SECRETS | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER_ARG": "1"}
    with running(tmp_path / "data", settings, program=PROGRAM) as kvitto:
        assert kvitto.outcome(post(kvitto, {"application_id": "untraced"}))["outcome"] == "stored"
        assert kvitto.stop() == 0


def test_what_traces_cost_is_measured(tmp_path: Path) -> None:
    tracing.measure(TINY, tmp_path, record := Record(), lambda _: None)
    assert record.voids == []
    assert {point.subject for point in record.points} == {KVITTO, tracing.UNTRACED}
    assert all(point.value > 0 for point in record.points)


def _has(span: object, receipt: str) -> bool:
    return receipt in {each.value.string_value for each in getattr(span, "attributes", ())}
