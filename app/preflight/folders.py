"""Checks that processes can create their files on this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.preflight.environment import Configuration
from config.checks.result import CheckResult, fault, ok
from config.folders import private_folder

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_COUNTING = {"ingest", "worker"}


def check_folders(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield a result for the folder of worker slots, of beat's heartbeat and of the metrics, where processes use it."""
    for process, name, purpose in (("worker", "worker slots", "slots"), ("beat", "beat's heartbeat", "beat")):
        if process in configuration.processes:
            yield _writable(name, private_folder(purpose), "Make it writable, or name another folder in TMPDIR")
    metrics = configuration.variables.get(_METRICS)
    if metrics and _COUNTING & set(configuration.processes):
        folder = Path(metrics)
        if folder.is_dir():
            yield _writable(_METRICS, folder, "Make it writable for the processes")
        else:  # the metrics' library does not create it, and fails at the first count
            yield fault(_METRICS, "names no folder", "Create it, or name another")


def _writable(name: str, folder: Path, hint: str) -> CheckResult:
    """Create and remove a file in the folder, or in the nearest one that exists: the process creates the others."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        return fault(name, f"{existing} cannot be written ({error.strerror})", hint)
    return ok(name, f"{existing} is writable")
