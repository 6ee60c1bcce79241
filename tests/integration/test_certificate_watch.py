"""The console looks when the certificate expires that providers see, and says so in page, log and metric."""

import html
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from app.console.access import COOKIE
from app.console.app import create_app
from app.console.certificate import CertificateWatch
from app.console.ledger_reader import LedgerReader
from app.console.problem_finder import ProblemFinder
from app.console.problem_watch import ProblemWatch
from tests.support.console_client import begin_session
from tests.support.metrics import console_metrics, console_settings, sample
from tests.support.ports import free_port

METRIC = "kvitto_certificate_expiry_timestamp_seconds"


@contextmanager
def serving(expires_at: datetime) -> Iterator[str]:
    """Serve HTTPS with a certificate that nobody trusts; yield the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("hooks.example.com", not_after=expires_at).configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=3, hours=1), "expires in 3 d, at "),
        (timedelta(days=-2), "has expired, at "),
    ],
)
def test_certificate_that_expires_soon_is_a_sentence_a_log_line_and_a_metric(
    database: str, valkey_server: str, caplog: pytest.LogCaptureFixture, left: timedelta, expected: str
) -> None:
    expires_at = (datetime.now(UTC) + left).replace(microsecond=0)
    with serving(expires_at) as url:
        settings = console_settings(database, valkey_server, CERTIFICATE_URL=url)
        ledger = LedgerReader(database)
        ProblemWatch(ledger, ProblemFinder(settings)).once()
        client = create_app(lambda: settings, ledger).test_client()
        client.set_cookie(COOKIE, begin_session(database, "viewer").cookie)
        page = html.unescape(client.get("/").text)
        text = console_metrics(database, valkey_server, CERTIFICATE_URL=url)
    (line,) = [vars(record) for record in caplog.records if vars(record).get("kind") == "certificate"]
    sentence = f"The certificate at {url.removeprefix('https://')} {expected}{expires_at:%Y-%m-%d %H:%M} UTC: "
    assert sentence in line["problem"]
    assert "Replace its files" in line["problem"]
    assert sentence in page
    assert sample(text, METRIC) == expires_at.timestamp()


def test_certificate_that_lasts_is_no_problem() -> None:
    with serving(datetime.now(UTC) + timedelta(days=15)) as url:
        assert list(CertificateWatch(url).problems()) == []


def test_certificate_is_remembered_for_ten_seconds_and_then_looked_at_again() -> None:
    now = [0.0]
    with serving(datetime.now(UTC) + timedelta(days=1)) as url:
        watch = CertificateWatch(url, lambda: now[0])
        assert [each.kind for each in watch.problems()] == ["certificate"]
    assert [each.kind for each in watch.problems()] == ["certificate"]  # what it has seen ten seconds ago
    now[0] = 10.0
    first, second = ([*watch.problems()], [*watch.problems()])
    assert [each.kind for each in first] == ["certificate-unseen"]
    assert first[0].since == second[0].since


def test_certificate_that_cannot_be_seen_has_no_series(database: str) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    assert sample(console_metrics(database, CERTIFICATE_URL=url), METRIC) is None
    (problem,) = CertificateWatch(url).problems()
    assert "cannot be seen (ConnectionRefusedError)" in problem.what
    assert "correct its CERTIFICATE_URL" in problem.hint


def test_server_without_tls_is_a_certificate_that_cannot_be_seen() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (problem,) = CertificateWatch(f"https://127.0.0.1:{server.server_address[1]}").problems()
        server.shutdown()
    assert problem.kind == "certificate-unseen"


def test_without_an_address_nothing_is_watched(database: str) -> None:
    assert list(CertificateWatch("").problems()) == []
    assert sample(console_metrics(database), METRIC) is None
