"""Debian's Prometheus runs the configuration of deploy/monitoring on the processes of a real Kvitto, in incidents."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from redis import Redis

from app.sandbox.kompar import encrypt
from app.storage.connection import connect
from deploy.monitoring.dashboards import INGEST_HEALTH
from tests.integration.test_silence import has_delivered
from tests.support import process_tree
from tests.support.console_client import overview
from tests.support.kvitto_process import ROOT, Running
from tests.support.metrics import sample
from tests.support.ports import free_port
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.servers import eventually, serving

pytestmark = pytest.mark.early
FOLDER = ROOT / "deploy" / "monitoring"
SERVICES = {"ingest", "worker-kompar", "worker-solaris", "beat", "console"}


class Prometheus:
    """A running Prometheus."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the API."""
        return self._client.get(f"/api/v1/{path}", params=parameters).raise_for_status().json()["data"]

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def services(self) -> set[str]:
        """Return the processes of Kvitto that are scraped."""
        targets = self.get("targets", state="active")["activeTargets"]
        return {each["labels"]["service"] for each in targets if each["health"] == "up" and "service" in each["labels"]}

    def values(self, query: str) -> dict[str, float]:
        """Return the values of a query by service."""
        found = self.get("query", query=query)["result"]
        return {each["metric"]["service"]: float(each["value"][1]) for each in found}

    def shows(self, query: str, expected: dict[str, float]) -> bool:
        """Return whether a query has these values by service, and no others."""
        return self.values(query) == expected

    def firing(self, alert: str) -> list[dict[str, str]]:
        """Return the labels of an alert's instances that fire."""
        return [each["labels"] for each in self._alerts(alert) if each["state"] == "firing"]

    def texts(self, alert: str) -> str:
        """Return what an alert says."""
        return "".join(text for each in self._alerts(alert) for text in each["annotations"].values())

    def _alerts(self, alert: str) -> list[dict[str, Any]]:
        return [each for each in self.get("alerts")["alerts"] if each["labels"]["alertname"] == alert]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, kvitto: Running) -> Iterator[Prometheus]:
    """Run the configuration as it is, but for the targets, and with three seconds for every quarter of a minute."""
    shutil.copytree(FOLDER, folder / "monitoring")
    shutil.copy(kvitto.data / "metrics.json", folder / "monitoring" / "targets.json")
    configuration = folder / "monitoring" / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("15s", "3s").replace("10s", "3s"))
    port = free_port()
    line = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        serving(line, folder / "prometheus.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        found = Prometheus(client)
        eventually(found.is_ready, "Prometheus ready", 60)
        eventually(lambda: found.services() == SERVICES, "every process scraped", 60)
        yield found


@pytest.fixture(scope="module")
def monitored(kvitto: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Prometheus]]:
    """A Kvitto with nothing in its stores, and the Prometheus that watches it; all incidents happen to them."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), kvitto) as found:
        yield kvitto, found


def test_configuration_scrapes_every_process_and_misses_no_metric(monitored: tuple[Running, Prometheus]) -> None:
    _, found = monitored
    eventually(lambda: all(rule["health"] == "ok" for rule in found.rules()), "every rule evaluated", 60)
    (absent,) = [rule["query"] for rule in found.rules() if rule["name"] == "KvittoMetricAbsent"]

    def missing() -> set[str]:
        return {each["metric"]["metric"] for each in found.get("query", query=absent)["result"]}

    # No node-exporter runs here. The audit comes within half a minute, and a canary within seconds.
    eventually(lambda: missing() == {"node_filesystem_avail_bytes"}, f"no metric missing but {missing()}", 90)


def test_every_query_of_the_dashboard_returns_something(monitored: tuple[Running, Prometheus]) -> None:
    _, found = monitored
    queries = {query.replace("$__rate_interval", "1m") for panel in INGEST_HEALTH for query, _ in panel.queries}

    def empty() -> set[str]:
        return {query for query in queries if not found.get("query", query=query)["result"]}

    eventually(lambda: not empty(), f"a series for each query, not {empty()}", 90)


class Incident(NamedTuple):
    """What shows an incident: a query with a result, an alert, a problem of the console, a line of a process's log."""

    query: str
    alert: dict[str, str]
    problem: str  # as a regular expression, with what, since when and what to do
    log: tuple[str, dict[str, str]]


SINCE = r" \(since \d{4}-\d\d-\d\d \d\d:\d\d UTC\)\. "
ROTATED = Incident(
    'kvitto_dead_letters_open{provider="kompar", topic="applications", reason="wrong-key"} >= 14',
    {"alertname": "KvittoDeadLettersNew", "provider": "kompar", "topic": "applications", "reason": "wrong-key"},
    r"kompar: 14 deliveries wait as dead letters \(applications, wrong-key\), the last received at .*" + SINCE
    + "Add the key that it uses now.*kvitto dead-letters replay --provider kompar --reason wrong-key",
    ("worker-kompar", {"event": "delivery_dead_lettered", "provider": "kompar", "reason": "wrong-key"}),
)  # fmt: skip
CHANGED = Incident(
    'increase(kvitto_webhook_requests_total{provider="kompar", status="401", reason="wrong-token"}[2m]) > 10',
    {"alertname": "KvittoRejectedRequests", "provider": "kompar", "reason": "wrong-token"},
    r"kompar: 20 requests were rejected \(wrong-token\), the last at .*" + SINCE
    + r"kompar gives up on the first in 7[5-7] min, at .*kvitto rejected readmit --provider kompar --since \d{4}-",
    ("ingest", {"event": "request_rejected", "path": "/webhooks/kompar/decisions", "reason": "wrong-token"}),
)  # fmt: skip
SILENT = Incident(
    'kvitto_silent{provider="solaris", topic=""} == 1',
    {"alertname": "KvittoSilent", "provider": "solaris"},
    r"solaris: no delivery for \d+ (min|h), usually one every 1 min" + SINCE + "Does ingest answer",
    ("console", {"event": "problem_began", "kind": "silence", "provider": "solaris"}),
)
STOPPED = Incident(
    'kvitto_inbox_entries{provider="kompar"} == 12',
    {"alertname": "KvittoBehind", "provider": "kompar"},
    r"kompar: the ledger is behind: 12 deliveries wait in the inbox, the oldest for .*" + SINCE + "Is its worker",
    ("console", {"event": "problem_began", "kind": "behind", "provider": "kompar"}),
)
NOT_SWEPT = Incident(
    'kvitto_ledger_lag_seconds{provider="kompar"} > 45',
    {"alertname": "KvittoNotSwept", "provider": "kompar"},
    r"kompar: no sweep for .*; nothing waits in the inbox" + SINCE + "Is beat running",
    ("console", {"event": "problem_began", "kind": "behind", "provider": "kompar"}),
)
FULL = Incident(
    'kvitto_overflow_deliveries_total{provider="kompar", reason="redis-full"} > 0',
    {"alertname": "KvittoOverflowing", "provider": "kompar", "reason": "redis-full"},
    r"kompar: ingest has stored deliveries in Postgres for \d+ s \(redis-full\)" + SINCE + "Redis has no room",
    ("ingest", {"event": "circuit_opened", "store": "redis", "reason": "redis-full"}),
)
UNREADABLE = Incident(
    "kvitto_ledger_readable == 0",
    {"alertname": "KvittoLedgerUnreadable"},
    "The ledger cannot be read now: .*" + SINCE + ".*kvitto check console",
    ("console", {"event": "problem_began", "kind": "ledger-unreadable"}),
)


def await_known(kvitto: Running, found: Prometheus, incident: Incident) -> None:
    """Wait until all four show the incident. An alert links to the page that says what to do."""
    eventually(lambda: bool(found.get("query", query=incident.query)["result"]), incident.query, 90)
    name = incident.alert["alertname"]
    eventually(lambda: any(incident.alert.items() <= each.items() for each in found.firing(name)), name, 90)
    problem = re.compile(incident.problem)
    eventually(lambda: problem.search(overview(kvitto)) is not None, f"{incident.problem}: {overview(kvitto)}", 90)
    process, expected = incident.log

    def is_logged() -> bool:
        lines = map(json.loads, (kvitto.data / "logs" / f"{process}.log").read_text().splitlines())
        found = [line for line in lines if expected.items() <= line.items()]
        return any("kind" not in expected or re.search(incident.problem, line["problem"]) for line in found)

    eventually(is_logged, f"{expected} in the log of {process}", 90)


def post(kvitto: Running, topic: str, name: str, key: str = KEY, token: str = TOKEN) -> int:
    return kvitto.post(topic, encrypt({"application_id": name, "accepted": True}, key), token).status_code


def test_aes_key_that_was_rotated_is_known(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    assert {
        post(kvitto, "applications", f"rotated-{number}", "another key of thirty-two bytes!") for number in range(14)
    } == {200}
    await_known(kvitto, found, ROTATED)


def test_token_that_was_changed_is_known_by_its_first_burst_and_afterwards(
    monitored: tuple[Running, Prometheus],
) -> None:
    kvitto, found = monitored
    assert {post(kvitto, "decisions", f"changed-{number}", token="changed") for number in range(20)} == {401}
    await_known(kvitto, found, CHANGED)
    left = 'kvitto_rejected_given_up_timestamp_seconds{provider="kompar", reason="wrong-token"} - time()'
    eventually(lambda: bool(found.get("query", query=left)["result"]), "what the console found, scraped", 60)
    (given_up,) = found.get("query", query=left)["result"]
    assert 70 * 60 < float(given_up["value"][1]) < 78 * 60
    words = "The provider gives up on the first in 1h "
    eventually(lambda: words in found.texts("KvittoRejectedRequests"), f"an alert with: {words}", 60)


def test_provider_that_is_silent_is_known(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    with connect(kvitto.database, "test") as connection:
        has_delivered(connection)
    await_known(kvitto, found, SILENT)
    assert "usually one every 1m 0s" in found.texts("KvittoSilent")


def test_worker_that_stopped_is_known(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    kvitto.workers()
    with process_tree.stopped(*process_tree.named(kvitto.process.pid, "celeryd: kompar@")):
        assert {post(kvitto, "decisions", f"stopped-{number}") for number in range(12)} == {200}
        await_known(kvitto, found, STOPPED)


def test_beat_that_stopped_is_known_although_nothing_waits(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    eventually(lambda: not found.firing("KvittoBehind"), "nothing of another test waits", 60)
    with process_tree.stopped(*process_tree.named(kvitto.process.pid, "celery beat")):
        await_known(kvitto, found, NOT_SWEPT)
        assert not found.firing("KvittoBehind")


def test_redis_that_is_full_is_known(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    with Redis.from_url(kvitto.redis) as redis:
        before = str(redis.config_get("maxmemory")["maxmemory"])
        redis.config_set("maxmemory", "1")
        try:
            assert {post(kvitto, "decisions", f"full-{number}") for number in range(3)} == {200}
            await_known(kvitto, found, FULL)
        finally:
            redis.config_set("maxmemory", before)
    eventually(lambda: "circuit_closed" in (kvitto.data / "logs" / "ingest.log").read_text(), "Redis in use again", 60)


def test_postgres_that_cannot_be_read_is_known_and_hides_no_count_of_any_process(
    monitored: tuple[Running, Prometheus],
) -> None:
    kvitto, found = monitored
    accepted = 'sum by (service) (kvitto_webhook_requests_total{provider="kompar", status="200", reason="accepted"})'
    processed = 'sum by (service) (kvitto_deliveries_processed_total{provider="kompar"})'
    eventually(lambda: found.services() == SERVICES, "every process scraped", 60)
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "nothing waits of other tests")
    requests = {"status": "200", "reason": "accepted"}
    before = {  # by the processes themselves: a scrape may be older
        accepted: sample(kvitto.metrics("ingest"), "kvitto_webhook_requests_total", provider="kompar", **requests),
        processed: sample(kvitto.metrics("worker-kompar"), "kvitto_deliveries_processed_total", provider="kompar"),
    }
    with connect(kvitto.database, "test") as connection:
        connection.execute("ALTER SCHEMA reporting RENAME TO hidden")
        try:
            assert post(kvitto, "decisions", "unreadable") == 200
            await_known(kvitto, found, UNREADABLE)
            for query, service in ((accepted, "ingest"), (processed, "worker-kompar")):
                expected = {service: (before[query] or 0) + 1}
                eventually(partial(found.shows, query, expected), f"{expected}", 60)
        finally:
            connection.execute("ALTER SCHEMA hidden RENAME TO reporting")
