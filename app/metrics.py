"""Prometheus metrics that processes count. `app.cli.metrics_server` serves them; the console reads more at each scrape.

Durations are in seconds, times are Unix times. Each metric is declared once, here. The functions
`…_series` create those series whose labels are known: they exist from the start, at 0, so that the first increase is
visible.
"""

import logging
import os
import shutil
import time
from collections.abc import Collection, Iterable
from functools import cache
from itertools import product
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, values
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

from config.environment import ConfigurationError
from config.file_slots import FileSlot, is_free
from config.folders import private_folder

# Names the folder in which the children of this process count; prometheus_client reads it too.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# The library maps its files into memory, and a write to a page that a full file system cannot give ends the process
# with SIGBUS. So the room is taken before: enough for 700 series, of which a provider has about 100.
_FILE_BYTES = 256 * 1024
_KINDS = ("counter", "histogram", "gauge_max", "gauge_mostrecent")
BYTES_PER_PROCESS = _FILE_BYTES * len(_KINDS)
logger = logging.getLogger(__name__)
# Every process counts in its own memory until it calls `share`.
values.ValueClass = values.MutexValue
disable_created_metrics()  # type: ignore[no-untyped-call]

# What becomes of a delivery that a worker stores. An operator may discard it later.
OUTCOMES = ("stored", "duplicate", "dead")
# Why ingest does without Redis, and why it answers 503.
_REDIS_REASONS = (
    "redis-unreachable", "redis-refuses", "redis-full", "redis-loading", "redis-not-primary", "redis-no-permission",
    "redis-certificate-not-trusted", "redis-not-replicated", "redis-not-durable", "unresponsive",
)  # fmt: skip
_NOT_STORED = (
    *_REDIS_REASONS, "postgres-not-durable", "postgres-misconfigured", "postgres-no-permission", "postgres-unavailable",
    "postgres-read-only", "internal", "busy", "body-too-slow", "too-many-bodies", "empty-body",
)  # fmt: skip
_HTTP_REASONS = (
    ("404", "not-found"), ("405", "method-not-allowed"), ("413", "request-entity-too-large"), ("none", "sender-gone"),
)  # fmt: skip

WEBHOOK_REQUESTS = Counter(
    "kvitto_webhook_requests",
    "Webhook requests by answered status, none if the sender hung up. Reason of a 200: accepted, or handshake; of an "
    "error: its slug. Provider of a wrong path: unknown.",
    ["provider", "status", "reason"],
)
WEBHOOK_DURATION = Histogram(
    "kvitto_webhook_request_duration_seconds",
    "Time from a webhook request's whole body to its answer, whatever the status.",
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
RECEIPT_TO_ROW = Histogram(
    "kvitto_receipt_to_row_seconds",
    "Time from a delivery's receipt, confirmed by an answer of 200, to its row in the ledger; worker's clock.",
    ["provider"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
CLAIM_TO_STORE = Histogram(
    "kvitto_claim_to_store_seconds",
    "Time from a worker's claim of a batch to the end of the batch: stored and acknowledged, or left in its inbox.",
    ["provider"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)
CREDENTIAL_USES = Counter(
    "kvitto_credential_uses",
    "Deliveries that a credential authenticated (token, secret) or opened (key), by its position or id.",
    ["provider", "credential"],
)
CREDENTIAL_LAST_USE = Gauge(
    "kvitto_credential_last_use_timestamp_seconds",
    "Unix time at which a credential last authenticated or opened a delivery; no series: never since the last restart.",
    ["provider", "credential"],
    multiprocess_mode="max",
)
CANARIES_SENT = Counter(
    "kvitto_canaries_sent",
    "Canaries that beat sent, by the status that ingest answered or the type of the error.",
    ["provider", "status"],
)
CERTIFICATE_EXPIRY = Gauge(
    "kvitto_certificate_expiry_timestamp_seconds",
    "Unix time at which the certificate expires that ingest serves; no series without INGEST_TLS_CERT.",
)
SECRETS_REJECTED = Gauge(
    "kvitto_secrets_rejected",
    "1 while the file of a setting holds what this process rejects: it keeps what it has, and would not start again.",
    ["setting"],
    multiprocess_mode="mostrecent",  # a process without work does not look at the files again
)
# Held until the process ends.
_slots: list[FileSlot] = []
# When each credential was last used in this process: what is reported to Postgres.
_last_uses: dict[tuple[str, str], float] = {}


def ingest_series(providers: Collection[str]) -> None:
    """Create the series of ingest whose labels are known, without those of `error_series`."""
    _create(WEBHOOK_REQUESTS, providers, ("200",), ("accepted", "handshake"))
    for status, reason in _HTTP_REASONS:
        _create(WEBHOOK_REQUESTS, (*providers, "unknown"), (status,), (reason,))
    _create(WEBHOOK_DURATION, providers)
    _create(WAKEUP_FAILURES, providers)
    _create(OVERFLOW_DELIVERIES, providers, ("large-body", "configured", "redis-slow-or-full", *_REDIS_REASONS))


def error_series(provider: str, rejections: Iterable[str]) -> None:
    """Create the series of error answers to a provider, or to canaries; `rejections` are the reasons of its 401."""
    for status, known in (("401", rejections), ("503", _NOT_STORED)):
        _create(WEBHOOK_REQUESTS, (provider,), (status,), known)


def worker_series(providers: Collection[str]) -> None:
    """Create the series of a worker of these providers whose labels are known."""
    _create(DELIVERIES_PROCESSED, providers, OUTCOMES)
    _create(PROCESSING_ERRORS, providers, ("not-readable",))
    for metric in (RECEIPT_TO_ROW, CLAIM_TO_STORE, WAKEUP_FAILURES):
        _create(metric, providers)


def credential_series(provider: str, credentials: Iterable[str]) -> None:
    """Create the series of credentials that are configured; the time of their last use is not known."""
    names = tuple(credentials)
    _create(CREDENTIAL_USES, (provider,), names)
    _last_uses.update({(provider, name): 0.0 for name in names})


def beat_series(providers: Collection[str]) -> None:
    """Create the series of beat whose labels are known."""
    _create(CANARIES_SENT, providers, ("200",))


def secret_series(settings: Iterable[str]) -> None:
    """Create the series of settings that come from files. A process that starts has rejected none."""
    for setting in settings:
        report_secret(setting, is_rejected=False)


def report_secret(setting: str, is_rejected: bool) -> None:
    """Record whether the file of a setting holds what this process rejects."""
    SECRETS_REJECTED.labels(setting).set(is_rejected)


def _create(metric: MetricWrapperBase, *labels: Iterable[str]) -> None:
    for each in product(*labels):
        metric.labels(*each)


def count_use(provider: str, credential: str) -> None:
    """Count that a credential authenticated or opened a delivery; `credential` is its position or id, not its value."""
    _credential_use(provider, credential).count()


def last_uses() -> dict[tuple[str, str], float]:
    """Return the Unix time of each credential's last use in this process, 0 for none, by provider and credential."""
    return dict(_last_uses)


class _CredentialUse:
    """Counts the uses of one credential. Its time is written once a second, since each delivery passes here."""

    def __init__(self, provider: str, credential: str) -> None:
        self._uses = CREDENTIAL_USES.labels(provider, credential)
        self._last_use = CREDENTIAL_LAST_USE.labels(provider, credential)
        self._key = provider, credential
        self._written_at = 0.0

    def count(self) -> None:
        self._uses.inc()
        now = time.time()
        if abs(now - self._written_at) >= 1:
            self._last_use.set(now)
            self._written_at = _last_uses[self._key] = now


_credential_use = cache(_CredentialUse)


def begin_sharing() -> None:
    """Make a folder of this process's own, in which its children count; call it once, before the first fork.

    Without a folder an error is logged, and what the children count is not served.
    """
    try:
        services = private_folder("metrics")
        slot = FileSlot(services)  # its lock lasts as long as a child: the next process takes another folder
        folder = services / str(slot.number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    except (OSError, ConfigurationError) as error:
        logger.error("metrics_not_shared", extra={"reason": str(error)})  # noqa: TRY400 - the place says nothing
        return
    _slots.append(slot)
    os.environ[_FOLDER] = str(folder)


def shared_folder() -> Path | None:
    """Return the folder in which this process and its parent's other children count; None if there is none."""
    folder = os.environ.get(_FOLDER)
    return Path(folder) if folder else None


def share() -> None:
    """Count in the folder of this process's parent; call it once, after the fork and before any metric has labels.

    The process continues the files of one that has ended, so that a folder has only as many files as processes ran at
    once. Without room for the files an error is logged, and what the process counts is not served.
    """
    folder = shared_folder()
    if folder is None:
        return
    try:
        slot = FileSlot(folder)
        for kind in _KINDS:
            _take_room(folder / f"{kind}_{slot.number}.db")
        _process_file(folder, slot.number).write_text(str(os.getpid()))
    except OSError as error:
        hint = f"{folder} must be writable, with {BYTES_PER_PROCESS} bytes of room for each process"
        context = {"reason": error.strerror, "hint": hint}
        logger.error("metrics_not_shared", extra=context)  # noqa: TRY400 - the place says nothing
        return
    _slots.append(slot)
    values.ValueClass = values.MultiProcessValue(lambda: slot.number)  # type: ignore[no-untyped-call]


def sharing_processes(folder: Path) -> dict[int, int]:
    """Return the ids of the processes that count in a folder now, by the numbers of their files."""
    numbers = [int(file.stem) for file in folder.glob("*.pid")]
    running = [number for number in sorted(numbers) if not is_free(folder, number)]
    return {number: int(_process_file(folder, number).read_text() or 0) for number in running}


def _process_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.pid"


def _take_room(path: Path) -> None:
    """Create a file of counters with all its room, unless it exists and can be read."""
    if path.exists():
        try:
            MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]
        except Exception:  # a crash of the machine left half a file
            logger.exception("metrics_file_replaced", extra={"path": str(path)})
        else:
            return
    incomplete = path.with_suffix(".new")
    try:
        incomplete.write_bytes(bytes(_FILE_BYTES))
        incomplete.replace(path)
    finally:
        incomplete.unlink(missing_ok=True)
