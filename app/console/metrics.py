"""Metrics that the console reads at each scrape: from the ledger, and from Redis itself.

What cannot be read has no series, and `kvitto_ledger_readable` or `kvitto_inbox_readable` is 0: unknown is not 0.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.console.certificate import CertificateWatch
from app.errors import REASONS, StoreUnavailableError
from app.inbox.reader import InboxReader
from app.metrics import OUTCOMES
from app.storage import fallbacks, rejected, reports
from app.storage.connection import Connection, session
from app.storage.primary import deadline
from config.environment import ConfigurationError
from config.settings import ConsoleSettings

_OUTCOMES = (*OUTCOMES, "discarded")
# Prometheus gives up after 10 s, and then has no metric at all.
_POSTGRES_SECONDS = 7.0
# By report: metric, column and documentation. Times are exposed as Unix time.
_GAUGES = {
    reports.freshness: (
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
    reports.schema_drift_counts: (
        (
            "kvitto_schema_drift_findings",
            "findings",
            "Keys, types and values in deliveries that no schema declares and that are new since the installation.",
        ),
        (
            "kvitto_last_schema_drift_timestamp_seconds",
            "last_found_at",
            "Unix time at which the newest of these was first received; 0 if there is none.",
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


def collectors(settings: ConsoleSettings) -> tuple[Collector, ...]:
    """Return what reads the metrics at each scrape."""
    return LedgerCollector(settings), InboxCollector(settings), CertificateCollector(settings.certificate_url)


def registry(settings: ConsoleSettings) -> CollectorRegistry:
    """Return a registry of these metrics alone."""
    found = CollectorRegistry()
    for collector in collectors(settings):
        found.register(collector)
    return found


class LedgerCollector(Collector):
    """Reads the views of `reporting`, none of which scans a table that grows with the deliveries."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, or only that the ledger cannot be read."""
        metrics: list[Metric] = []
        try:
            with session(self._settings.database_url, "metrics") as connection, deadline(connection, _POSTGRES_SECONDS):
                metrics += self._read(connection)
        except (StoreUnavailableError, ConfigurationError):
            metrics.clear()
        documentation = "Whether the console could read the ledger for this scrape, 0 or 1."
        yield GaugeMetricFamily("kvitto_ledger_readable", documentation, value=bool(metrics))
        yield from metrics

    def _read(self, connection: Connection) -> Iterator[Metric]:
        counts = {row["provider"]: row for row in reports.delivery_counts(connection)}
        providers = sorted({*counts, *self._settings.providers})
        receipts = [(name, each, counts.get(name, {}).get(each, 0)) for name, each in product(providers, _OUTCOMES)]
        yield _gauge("kvitto_ledger_receipts", "Receipts by outcome.", receipts, ("provider", "outcome"))
        yield from _dead_letters(connection)
        yield _given_up(rejected.recent(connection))
        documentation = "Time for which a process has worked round a failed server; no series while none does."
        lasting = [
            (each.process, each.provider, each.reason, each.seconds) for each in fallbacks.current(connection, 0)
        ]
        yield _gauge("kvitto_fallback_seconds", documentation, lasting, ("process", "provider", "reason"))
        yield from self._overflow(reports.overflow_backlog(connection))
        size = reports.database_bytes(connection)
        yield GaugeMetricFamily("kvitto_ledger_bytes", "Size of the ledger's database on disk.", value=size)
        yield from _silence(reports.silence(connection))
        for report, gauges in _GAUGES.items():
            rows, labels = report(connection), _LABELS.get(report, ("provider",))
            for name, column, documentation in gauges:
                yield _gauge(name, documentation, [_values(row, *labels, column) for row in rows], labels)

    def _overflow(self, rows: reports.Rows) -> Iterator[Metric]:
        waiting = {row["provider"]: row for row in rows}
        for name, column, documentation in (
            ("kvitto_overflow_entries", "entries", "Deliveries that wait in the overflow."),
            ("kvitto_overflow_oldest_seconds", "oldest_seconds", "Age of the oldest delivery there; 0 without one."),
        ):
            values = [(each, waiting.get(each, {}).get(column, 0)) for each in self._settings.providers]
            yield _gauge(name, documentation, values)


class InboxCollector(Collector):
    """Asks Redis what waits in each inbox, and how full it is."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._inboxes = InboxReader(settings.redis, settings.providers)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, or only that Redis cannot be asked."""
        metrics: list[Metric] = []
        try:
            metrics += self._read()
        except StoreUnavailableError:
            metrics.clear()
        documentation = "Whether the console could ask Redis for this scrape, 0 or 1."
        yield GaugeMetricFamily("kvitto_inbox_readable", documentation, value=bool(metrics))
        yield from metrics

    def _read(self) -> Iterator[Metric]:
        backlogs = self._inboxes.backlogs()
        entries = [(provider, backlog.entries) for provider, backlog in backlogs.items()]
        yield _gauge("kvitto_inbox_entries", "Deliveries that wait in the inbox, by Redis itself.", entries)
        ages = [(provider, backlog.oldest_seconds) for provider, backlog in backlogs.items()]
        yield _gauge("kvitto_inbox_oldest_seconds", "Age of the oldest delivery in the inbox; 0 without one.", ages)
        used, limit = self._inboxes.memory()
        if used is not None:  # a managed server may hide it
            yield GaugeMetricFamily("kvitto_redis_memory_used_bytes", "Memory that Redis uses.", value=used)
            documentation = "Memory at which Redis refuses writes (maxmemory); infinite without a limit."
            yield GaugeMetricFamily("kvitto_redis_memory_limit_bytes", documentation, value=limit)


class CertificateCollector(Collector):
    """Looks when the certificate expires that providers see."""

    def __init__(self, url: str) -> None:
        self._watch = CertificateWatch(url)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, without a series if nothing is known."""
        found = self._watch.expires_at()
        documentation = "Unix time at which the certificate expires that providers see; no series if it is not known."
        series = [(found,)] if isinstance(found, datetime) else []
        yield _gauge("kvitto_certificate_expiry_timestamp_seconds", documentation, series, ())


def _values(row: Mapping[str, Any], *columns: str) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def _gauge(
    name: str, documentation: str, series: Iterable[tuple[Any, ...]], labels: Sequence[str] = ("provider",)
) -> Metric:
    """Return a gauge; each of `series` has the values of its labels, then its own."""
    gauge = GaugeMetricFamily(name, documentation, labels=labels)
    for *values, value in series:
        gauge.add_metric(values, value.timestamp() if isinstance(value, datetime) else value)
    return gauge


def _dead_letters(connection: Connection) -> Iterator[Metric]:
    by = ("provider", "topic", "reason")
    dead = [_values(row, *by, "dead_letters") for row in reports.dead_letter_counts(connection)]
    documentation = "Dead letters that wait for a replay, by their reason; no series where none does."
    yield _gauge("kvitto_dead_letters_open", documentation, dead, by)
    counts = {row["reason"]: row["replayed"] for row in reports.replay_counts(connection)}
    replayed = [(reason, counts.get(reason, 0)) for reason in REASONS]
    documentation = "Dead letters that a replay turned into events, by the reason for which they were dead."
    yield _gauge("kvitto_dead_letters_replayed", documentation, replayed, ("reason",))


def _given_up(recent: Iterable[rejected.RecentRejections]) -> Metric:
    known = [(each.provider, each.reason, each.given_up_from) for each in recent if each.given_up_from]
    documentation = (
        "Unix time at which the provider gives up on the first rejected request that was not readmitted; no series "
        "without one."
    )
    return _gauge("kvitto_rejected_given_up_timestamp_seconds", documentation, known, ("provider", "reason"))


def _silence(rows: reports.Rows) -> Iterator[Metric]:
    """Yield the gauges of silence. Their topic is empty for all topics of a provider together."""
    labels = ("provider", "topic")
    named = [(row["provider"], row["topic"] or "", row) for row in rows]
    last = [(provider, topic, row["last_received_at"]) for provider, topic, row in named]
    documentation = "Unix time at which the last delivery was received."
    yield _gauge("kvitto_last_delivery_timestamp_seconds", documentation, last, labels)
    gaps = [(*each, row["usual_gap_seconds"]) for *each, row in named if row["usual_gap_seconds"] is not None]
    documentation = "Usual time between two deliveries at the hour of the last one; no series with too little history."
    yield _gauge("kvitto_usual_gap_seconds", documentation, gaps, labels)
    silent = [(*each, row["is_silent"]) for *each, row in named]
    documentation = "1 if nothing has arrived for longer than chance explains, else 0."
    yield _gauge("kvitto_silent", documentation, silent, labels)
