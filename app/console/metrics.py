"""Metrics: what the ledger holds, and what the processes of this machine count."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.storage import reports
from app.storage.connection import Connection


class _Ledger(Collector):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        receipts = GaugeMetricFamily("kvitto_receipts", "Receipts in the ledger", labels=["provider", "outcome"])
        for row in reports.delivery_counts(self._connection):
            for outcome in ("stored", "duplicate", "dead"):
                receipts.add_metric([row["provider"], outcome], row[outcome])
        yield receipts
        pending = GaugeMetricFamily("kvitto_pending", "Entries waiting at the last look", labels=["provider"])
        behind = GaugeMetricFamily(
            "kvitto_behind_seconds", "Age of what the ledger is complete up to", labels=["provider"]
        )
        for row in reports.freshness(self._connection):
            pending.add_metric([row["provider"]], row["pending"])
            behind.add_metric([row["provider"]], row["behind_seconds"])
        yield pending
        yield behind
        yield from self._audits()
        yield from self._canaries()

    def _audits(self) -> Iterator[Metric]:
        missing = GaugeMetricFamily(
            "kvitto_missing", "Entries that the last audit could not account for", labels=["provider"]
        )
        ago = GaugeMetricFamily("kvitto_audited_seconds_ago", "Age of the last audit", labels=["provider"])
        for row in reports.audits(self._connection):
            missing.add_metric([row["provider"]], row["missing"])
            ago.add_metric([row["provider"]], row["seconds_ago"])
        yield missing
        yield ago

    def _canaries(self) -> Iterator[Metric]:
        age = GaugeMetricFamily("kvitto_canary_age_seconds", "Age of the newest canary to arrive", labels=["provider"])
        travel = GaugeMetricFamily("kvitto_canary_seconds", "How long it travelled", labels=["provider"])
        for row in reports.canaries(self._connection):
            age.add_metric([row["provider"]], row["age_seconds"])
            travel.add_metric([row["provider"]], row["seconds"])
        yield age
        yield travel


def exposition(connection: Connection) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Ledger(connection))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
