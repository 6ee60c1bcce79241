"""The console's metrics: gauges read from the ledger, and the counters of this machine's processes."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app.metrics import FOLDER, OUTCOMES
from app.storage import fallbacks, reports
from app.storage.connection import Connection

# By report: metric, column and documentation. Times are exposed as Unix time.
_GAUGES = {
    reports.freshness: (
        ("kvitto_inbox_entries", "pending", "Deliveries that waited in the inbox and the overflow at the last sweep."),
        (
            "kvitto_clock_skew_seconds",
            "clock_skew_seconds",
            "Seconds by which the clock of Redis, or a time of receipt, was ahead of the clock of Postgres.",
        ),
        ("kvitto_ledger_lag_seconds", "behind_seconds", "Age of the time up to which the ledger holds every delivery."),
    ),
    reports.audits: (
        ("kvitto_audit_missing_entries", "missing", "Accepted deliveries that the last audit could not account for."),
        ("kvitto_last_audit_timestamp_seconds", "audited_at", "Unix time of the last audit."),
    ),
    reports.suspected_counts: (
        (
            "kvitto_suspected_late_retries",
            "suspected",
            "Late retries that may be a customer's change back; kvitto deliveries suspected lists them.",
        ),
    ),
    reports.canaries: (
        (
            "kvitto_last_canary_timestamp_seconds",
            "sent_at",
            "Unix time at which the newest canary in the ledger was sent.",
        ),
        (
            "kvitto_canary_duration_seconds",
            "seconds",
            "Time that the newest canary took from its sender to the ledger.",
        ),
    ),
    reports.feed_consumers: (
        (
            "kvitto_feed_lag_seconds",
            "behind_seconds",
            "Age of the oldest change of the feed that a consumer has not confirmed; 0 if there is none.",
        ),
        (
            "kvitto_feed_lag_positions",
            "positions_behind",
            "Positions of the feed that a consumer has not confirmed: at least as many as changes.",
        ),
        (
            "kvitto_feed_last_read_timestamp_seconds",
            "read_at",
            "Unix time at which a consumer last read the feed.",
        ),
    ),
}
_LABELS = {reports.feed_consumers: ("consumer", "provider")}


class _LedgerCollector(Collector):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def collect(self) -> Iterator[Metric]:
        receipts = GaugeMetricFamily("kvitto_ledger_receipts", "Receipts by outcome.", labels=["provider", "outcome"])
        for row in reports.delivery_counts(self._connection):
            for outcome in (*OUTCOMES, "discarded"):
                receipts.add_metric([row["provider"], outcome], row[outcome])
        yield receipts
        documentation = "Time for which a process has worked round a failed server; no series while none does."
        seconds = GaugeMetricFamily("kvitto_fallback_seconds", documentation, labels=["process", "provider", "reason"])
        for fallback in fallbacks.current(self._connection, at_least_seconds=0):
            seconds.add_metric([fallback.process, fallback.provider, fallback.reason], fallback.seconds)
        yield seconds
        for report, gauges in _GAUGES.items():
            rows, labels = report(self._connection), _LABELS.get(report, ("provider",))
            for name, column, documentation in gauges:
                gauge = GaugeMetricFamily(name, documentation, labels=labels)
                for row in rows:
                    value = row[column]
                    is_time = isinstance(value, datetime)
                    gauge.add_metric([row[label] for label in labels], value.timestamp() if is_time else value)
                yield gauge


def exposition(connection: Connection) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_LedgerCollector(connection))
    folder = os.environ.get(FOLDER)
    if folder and Path(folder).is_dir():  # without it, no process counts there: each has logged that
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
