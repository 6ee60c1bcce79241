"""What the first commands need of a machine, checked before anything is installed: standard library only."""

import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from app.local.postgres_user import postgres_user

# MB of room, measured and rounded up: what is installed with its wheels, a fresh data folder, what all tests leave.
INSTALL_MB = 1100
DATA_MB = 200
TESTS_MB = 8000


class MachineError(Exception):
    """The machine lacks what a command needs; the text says what to do."""


def check(goals: Collection[str], root: Path) -> None:
    """Check what the goals `demo`, `up` and `test` need, with the checkout at `root`.

    Raises:
        MachineError, EmbeddedServerError: With the sentence that says what to do.
    """
    if "up" in goals and "DATABASE_URL" not in os.environ:
        data = root / (os.environ.get("KVITTO_DATA") or ".kvitto")
        place = next(each for each in (data, *data.parents) if each.exists())
        require(place, DATA_MB, "name a data folder elsewhere with KVITTO_DATA")
        postgres_user(place, root)
    if "demo" in goals:
        postgres_user(temporary_folder(DATA_MB), root)
    if "test" in goals:
        require(root, 0, "run tests in a checkout of your own")
        place = temporary_folder(TESTS_MB)
        require_programs(place, "name another temporary folder with TMPDIR")
        postgres_user(place, root)


def temporary_folder(megabytes: int) -> Path:
    """Return the folder for temporary files, if it has so much room.

    Raises:
        MachineError: With the sentence that says what to do.
    """
    advice = "name another temporary folder with TMPDIR"
    try:
        found = Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        raise MachineError(f"no temporary folder can be written: free one, or {advice}") from error
    require(found, megabytes, advice)
    return found


def require(folder: Path, megabytes: int, advice: str) -> None:
    """Raise MachineError unless a folder can be written and has so much room."""
    if not os.access(folder, os.W_OK):
        raise MachineError(f"{folder} cannot be written: {advice}")
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise MachineError(f"{folder} has {free} MB of room, and {megabytes} MB are needed: free some, or {advice}")


def require_programs(folder: Path, advice: str) -> None:
    """Raise MachineError if the mount of a folder keeps programs in it from running (as far as Linux reports it)."""
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise MachineError(f"{folder} is mounted noexec, and programs run there: {advice}")
