"""Debian's Prometheus runs the configuration of deploy/monitoring on the processes of a real Kvitto, in incidents."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.sandbox.kompar import encrypt
from deploy.monitoring.dashboards import INGEST_HEALTH
from tests.support import process_tree
from tests.support.kvitto_process import ROOT, Running
from tests.support.ports import free_port
from tests.support.servers import eventually, serving

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

    def firing(self, alert: str) -> list[dict[str, str]]:
        """Return the labels of an alert's instances that fire."""
        found = [each for each in self.get("alerts")["alerts"] if each["labels"]["alertname"] == alert]
        return [each["labels"] for each in found if each["state"] == "firing"]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, kvitto: Running) -> Iterator[Prometheus]:
    """Run the configuration as it is, but for the targets, and with a second for every quarter of a minute."""
    shutil.copytree(FOLDER, folder / "monitoring")
    shutil.copy(kvitto.data / "metrics.json", folder / "monitoring" / "targets.json")
    configuration = folder / "monitoring" / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("15s", "1s").replace("10s", "1s"))
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


@pytest.fixture
def monitored(empty_kvitto: Running, tmp_path: Path) -> Iterator[tuple[Running, Prometheus]]:
    """A Kvitto with nothing in its stores, and the Prometheus that watches it."""
    with prometheus(tmp_path, empty_kvitto) as found:
        yield empty_kvitto, found


def await_alert(found: Prometheus, alert: str, also: Callable[[dict[str, str]], bool] = lambda _: True) -> None:
    eventually(lambda: any(map(also, found.firing(alert))), f"{alert}: {found.get('alerts')}", 90)


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


def test_incidents_are_alerts_within_a_minute(monitored: tuple[Running, Prometheus]) -> None:
    kvitto, found = monitored
    for number in range(20):
        assert kvitto.post("decisions", json.dumps({"application_id": number}), token="changed").status_code == 401
    rotated = encrypt({"application_id": "sealed"}, "another key of thirty-two bytes!")
    assert kvitto.post("applications", rotated).status_code == 200
    await_alert(found, "KvittoRejectedRequests", lambda labels: labels["reason"] == "wrong-token")
    await_alert(found, "KvittoDeadLettersNew", lambda labels: labels["reason"] == "wrong-key")
    workers = process_tree.named(kvitto.process.pid, "celeryd: kompar@")
    with process_tree.stopped(*workers):
        assert kvitto.post("decisions", b'{"application_id": "waits", "accepted": true}').status_code == 200
        await_alert(found, "KvittoBehind", lambda labels: labels["provider"] == "kompar")
        waiting = found.get("query", query='kvitto_inbox_entries{provider="kompar"}')["result"]
        assert [each["value"][1] for each in waiting] == ["1"]
