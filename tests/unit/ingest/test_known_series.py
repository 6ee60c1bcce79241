"""Series of ingest's metrics exist before anything happens, so that `increase()` sees the first of each kind."""

import re

import pytest
from prometheus_client import REGISTRY
from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge

from app import metrics
from app.ingest.problem_details import to_problem
from app.providers.kompar.authentication import KomparAuthentication
from app.providers.solaris.authentication import SolarisAuthentication
from tests.unit.project.test_documents import OPERATIONS

AUTHENTICATIONS: dict[str, KomparAuthentication | SolarisAuthentication] = {
    "kompar": KomparAuthentication(("a" * 16, "b" * 16)),
    "solaris": SolarisAuthentication((("BOOKING", "c" * 16),)),
}
_ROW = re.compile(r"^\| (\d{3}|none) \| ([^|]+) \|", re.MULTILINE)


@pytest.fixture
def series() -> set[tuple[str, str, str]]:
    """Provider, status and reason of each series."""
    metrics.ingest_series(AUTHENTICATIONS)
    for name, authentication in AUTHENTICATIONS.items():
        metrics.error_series(name, authentication.rejections)
    labels = [each.labels for family in metrics.WEBHOOK_REQUESTS.collect() for each in family.samples]
    return {(each["provider"], each["status"], each["reason"]) for each in labels}


@pytest.mark.parametrize("provider", AUTHENTICATIONS)
def test_every_documented_answer_is_counted_from_the_start(provider: str, series: set[tuple[str, str, str]]) -> None:
    section = OPERATIONS.partition("### What ingest answers\n")[2].partition("\n### ")[0]
    documented = {
        (status, reason)
        for status, reasons in _ROW.findall(section)
        for reason in re.findall(r"`([a-z-]+)`", reasons)
        if status != "401" or reason in AUTHENTICATIONS[provider].rejections
    }
    assert documented
    assert documented <= {(status, reason) for name, status, reason in series if name == provider}


@pytest.mark.parametrize("error", [NotFound(), MethodNotAllowed(), RequestEntityTooLarge()])
def test_errors_of_http_are_counted_from_the_start(error: Exception, series: set[tuple[str, str, str]]) -> None:
    problem = to_problem(error, "/webhooks/nobody", "127.0.0.1")
    for provider in ("unknown", "kompar"):
        assert (provider, str(problem.status), problem.reason) in series


@pytest.mark.parametrize("name", AUTHENTICATIONS)
def test_every_credential_is_counted_from_the_start(name: str) -> None:
    authentication = AUTHENTICATIONS[name]
    metrics.credential_series(name, authentication.credentials)
    for credential in authentication.credentials:
        labels = {"provider": name, "credential": credential}
        assert REGISTRY.get_sample_value("kvitto_credential_uses_total", labels) is not None
