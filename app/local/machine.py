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


class MachineUnfit(Exception):  # noqa: N818
    """The machine lacks what a command needs; the text says what to do."""


def check(goals: Collection[str], root: Path) -> None:
    """Check what the goals `demo`, `up` and `test` need, with the checkout at `root`.

    Raises:
        MachineUnfit, EmbeddedMissing: With the sentence that says what to do.
    """
    if "up" in goals and "DATABASE_URL" not in os.environ:
        data = root / (os.environ.get("KVITTO_DATA") or ".kvitto")
        place = next(each for each in (data, *data.parents) if each.exists())
        require_room(place, DATA_MB, "name a data folder elsewhere: KVITTO_DATA=/path make up")
        postgres_user(place, root)
    if "demo" in goals:
        postgres_user(demo_folder(), root)
    if "test" in goals:
        _check_tests(root)


def demo_folder() -> Path:
    """Return the temporary folder, where a tour keeps its data, if it has room.

    Raises:
        MachineUnfit: With the sentence that says what to do.
    """
    return _temporary_folder(DATA_MB, "demo")


def require_room(folder: Path, megabytes: int, advice: str) -> None:
    """Raise MachineUnfit unless a folder has so much room."""
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise MachineUnfit(f"{folder} has {free} MB of room, and {megabytes} MB are needed: free some, or {advice}")


def _check_tests(root: Path) -> None:
    if not os.access(root, os.W_OK):
        raise MachineUnfit(f"{root} cannot be written, and tests write to it: run them in a checkout of your own")
    place = _temporary_folder(TESTS_MB, "test")
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise MachineUnfit(f"{place} is mounted noexec, and tests run programs there: TMPDIR=/path make test")
    postgres_user(place, root)


def _temporary_folder(megabytes: int, goal: str) -> Path:
    advice = f"name another temporary folder: TMPDIR=/path make {goal}"
    try:
        found = Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        raise MachineUnfit(f"no temporary folder can be written: free one, or {advice}") from error
    require_room(found, megabytes, advice)
    return found
