"""Prometheus metrics that processes count. The console adds gauges that it reads from the ledger.

Durations are in seconds. Call `labels` once at start-up where the values are known: the series then starts at 0, and
the first increase is visible.
"""

import logging
import os
from pathlib import Path

from prometheus_client import Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from config.file_slots import FileSlot

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# The library maps its files into memory, and a write to a page that a full file system cannot give ends the process
# with SIGBUS. So the room is taken before: enough for 800 series, of which a provider has about 30.
_FILE_BYTES = 256 * 1024
_KINDS = ("counter", "histogram")
BYTES_PER_PROCESS = _FILE_BYTES * len(_KINDS)
logger = logging.getLogger(__name__)
# Every process counts in its own memory until it calls `share`.
values.ValueClass = values.MutexValue

# What becomes of a delivery that a worker stores. An operator may discard it later.
OUTCOMES = ("stored", "duplicate", "dead")

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
# Held until the process ends.
_slots: list[FileSlot] = []


def share() -> None:
    """Count in files that the console adds up, if PROMETHEUS_MULTIPROC_DIR names a folder for them.

    Call it once in a process that serves, after the last fork and before any metric has labels. The process continues
    the files of one that has ended, so that a folder has only as many files as processes ran at once. If the files
    cannot be had, an error is logged, and what the process counts is seen by nobody.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    try:
        slot = FileSlot(Path(folder))
        for kind in _KINDS:
            _take_room(Path(folder) / f"{kind}_{slot.number}.db")
    except OSError as error:
        hint = f"{FOLDER} must name a writable folder with {BYTES_PER_PROCESS} bytes of room for each process"
        context = {"folder": folder, "reason": error.strerror, "hint": hint}
        logger.error("metrics_not_shared", extra=context)  # noqa: TRY400 - the place says nothing
        return
    _slots.append(slot)
    values.ValueClass = values.MultiProcessValue(lambda: slot.number)  # type: ignore[no-untyped-call]


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
