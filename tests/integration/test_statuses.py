"""What the edge can answer, whatever goes wrong beneath it: never a status that loses a delivery for good."""

import base64
import threading
from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import default_exceptions

from app.errors import DataRejectedError, InvalidDeliveryError, StoreUnavailableError
from app.ingest.app import create_edge
from app.ingest.edge_secrets import EdgeSettings
from config.secret_files import Rereading
from tests.support import databases
from tests.support.providers.provider_fixtures import Sample, names, side
from tests.support.rsgi_client import RsgiClient

CONTRACT = {200, 401, 404, 405, 413, 503}
GOOD = [sample for name in names() for sample in side(name).samples() if sample.expect["http"] == 200]


FAILURES: list[Exception] = [
    *(error() for error in default_exceptions.values()),
    StoreUnavailableError("gone"),
    InvalidDeliveryError("invalid"),
    DataRejectedError("22000"),
    ValueError("410"),
    RecursionError(),
    MemoryError(),
    OSError(),
    UnicodeDecodeError("utf-8", b"", 0, 1, ""),
]


@pytest.fixture(scope="module")
def edge(valkey_server: str, postgres_server: str) -> RsgiClient:
    """One edge for all of these tests, on a database that stays: its watches go on as long as this process."""
    environment = {key: value for each in names() for key, value in side(each).environment.items()} | {
        "DATABASE_URL": databases.create(postgres_server),
        "REDIS_URL": valkey_server,
        "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}",
        "BODY_LIMIT_BYTES": "50000",
    }
    found = create_edge(Rereading(EdgeSettings.read, environment), threading.Event())
    for which, failure in [("secret", ValueError("secret")), *enumerate(FAILURES)]:
        found.flask.add_url_rule(f"/fails/{which}", f"fails-{which}", partial(fail, failure), methods=["POST"])
    return RsgiClient(found)


def fail(failure: Exception) -> Any:
    raise failure


@pytest.mark.parametrize("number", range(len(FAILURES)), ids=[type(failure).__name__ for failure in FAILURES])
def test_any_error_inside_is_answered_within_the_contract(edge: RsgiClient, number: int) -> None:
    answer = edge.post(f"/fails/{number}")
    assert answer.status_code in CONTRACT - {200}
    assert answer.headers["Content-Type"] == "application/problem+json"
    failure = FAILURES[number]
    assert not isinstance(failure, ValueError) or str(failure) not in answer.text


def test_an_unexpected_error_is_503_with_a_time_to_come_back(edge: RsgiClient) -> None:
    answer = edge.post("/fails/secret")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "secret" not in answer.text


methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
paths = st.one_of(
    st.sampled_from(
        sorted({sample.path for sample in GOOD} | {"/livez", "/readyz", "/", "/webhooks/", "//", "/webhooks/x/y"})
    ),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0?#"), max_size=20).map(lambda text: "/" + text),
)
bodies = st.binary(max_size=200)
headers = st.dictionaries(
    st.sampled_from(["Authorization", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding",
                     "Host", "Expect", "Cookie", "Range", "Solaris-Webhook-Event-Type", "Solaris-Webhook-Signature",
                     "X-Forwarded-Host"]),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    max_size=4,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=methods, sample=st.sampled_from(GOOD) | st.builds(Sample, st.none(), paths, headers, bodies), sent=headers
)
def test_no_request_is_answered_otherwise(edge: RsgiClient, method: str, sample: Sample, sent: dict[str, str]) -> None:
    path = sample.path
    answer = edge.request(method, unquote(path), sent | sample.headers, sample.body)
    assert answer.status_code in CONTRACT
    assert answer.status_code != 200 or method == "POST" or path in ("/livez", "/readyz")


@pytest.mark.parametrize("sample", GOOD, ids=lambda sample: sample.name)
def test_the_answer_does_not_depend_on_what_the_body_holds(edge: RsgiClient, sample: Sample) -> None:
    assert edge.post(sample.path, sample.headers, sample.body).status_code == 200
