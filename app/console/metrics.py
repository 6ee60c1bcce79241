"""The console's metrics: gauges read from the ledger, and the counters of this machine's processes."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.metrics import OUTCOMES
from app.storage import reports
from app.storage.connection import Connection


class _LedgerCollector(Collector):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        yield self._receipts()
        freshness = reports.freshness(self._connection)
        yield _gauge(
            "kvitto_inbox_entries",
            "Deliveries that waited in the inbox and the overflow at the last sweep.",
            {row["provider"]: row["pending"] for row in freshness},
        )
        yield _gauge(
            "kvitto_ledger_lag_seconds",
            "Age of the time up to which the ledger holds every delivery.",
            {row["provider"]: row["behind_seconds"] for row in freshness},
        )
        audits = reports.audits(self._connection)
        yield _gauge(
            "kvitto_audit_missing_entries",
            "Accepted deliveries that the last audit could not account for.",
            {row["provider"]: row["missing"] for row in audits},
        )
        yield _gauge(
            "kvitto_last_audit_timestamp_seconds",
            "Unix time of the last audit.",
            {row["provider"]: row["audited_at"].timestamp() for row in audits},
        )
        canaries = reports.canaries(self._connection)
        yield _gauge(
            "kvitto_last_canary_timestamp_seconds",
            "Unix time at which the newest canary in the ledger was sent.",
            {row["provider"]: row["sent_at"].timestamp() for row in canaries},
        )
        yield _gauge(
            "kvitto_canary_duration_seconds",
            "Time that the newest canary in the ledger took from its sender to the ledger.",
            {row["provider"]: row["seconds"] for row in canaries},
        )

    def _receipts(self) -> Metric:
        receipts = GaugeMetricFamily(
            "kvitto_ledger_receipts", "Receipts in the ledger, by outcome.", labels=["provider", "outcome"]
        )
        for row in reports.conservation(self._connection):
            for outcome in OUTCOMES:
                receipts.add_metric([row["provider"], outcome], row[outcome])
        return receipts


def _gauge(name: str, documentation: str, by_provider: dict[str, float]) -> Metric:
    gauge = GaugeMetricFamily(name, documentation, labels=["provider"])
    for provider, value in by_provider.items():
        gauge.add_metric([provider], value)
    return gauge


def exposition(connection: Connection) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_LedgerCollector(connection))
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
