"""Prometheus metrics that processes count. The console adds gauges that it reads from the ledger.

Durations are in seconds. Call `labels` once at start-up where the values are known: the series then starts at 0, and
the first increase is visible.
"""

import os
import socket
from functools import cache
from typing import Any

from prometheus_client import Counter, Histogram, values


@cache
def _value_class() -> Any:
    """Return what holds a value: this process, or a file of its own in the folder of metrics if a setting names one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return values.MutexValue
    # The file is named by the pid. Containers that share the folder have equal pids, so the host's name is added. It
    # is read once: every increment asks for it, and gethostname() would release the GIL each time.
    host = socket.gethostname()
    return values.MultiProcessValue(lambda: f"{host}-{os.getpid()}")  # type: ignore[no-untyped-call]


# Decided at the first value, not at the import: the processes of `kvitto up` are forks of one that counts nothing.
values.ValueClass = lambda *given, **named: _value_class()(*given, **named)  # noqa: PLW0108

OUTCOMES = ("stored", "duplicate", "dead")

WEBHOOK_REQUESTS = Counter(
    "kvitto_webhook_requests",
    "Webhook requests by answered status. Reason of a 200: accepted, or handshake; of an error: its slug.",
    ["provider", "status", "reason"],
)
WEBHOOK_DURATION = Histogram(
    "kvitto_webhook_request_duration_seconds",
    "Time from a webhook request's headers to its answer, whatever the status.",
    ["provider"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
OVERFLOW_DELIVERIES = Counter(
    "kvitto_overflow_deliveries",
    "Accepted deliveries that were stored in Postgres instead of Redis, by the reason.",
    ["provider", "reason"],
)
WAKEUP_FAILURES = Counter(
    "kvitto_wakeup_failures",
    "Wake-ups of workers that could not be sent. The next sweep drains the inbox instead.",
    ["provider"],
)
DELIVERIES_PROCESSED = Counter(
    "kvitto_deliveries_processed",
    "Deliveries that workers stored in the ledger, by outcome: stored, duplicate, dead.",
    ["provider", "outcome"],
)
PROCESSING_ERRORS = Counter(
    "kvitto_processing_errors",
    "Attempts that left a delivery in its inbox because of an error that no retry of the provider can fix.",
    ["provider", "cause"],
)
