"""What a machine must offer, checked before anything is installed too: standard library only."""

import os
import shutil
import tempfile
from pathlib import Path

# MB of room for a fresh data folder, measured and rounded up.
DATA_MB = 200


class LocalError(Exception):
    """This machine, or what runs on it, cannot do its part; the text says what to do."""


def temporary_folder(megabytes: int) -> Path:
    """Return the folder for temporary files; raise LocalError unless it has so much room."""
    advice = "name another temporary folder with TMPDIR"
    try:
        found = Path(tempfile.gettempdir()).resolve()
    except OSError as error:
        raise LocalError(f"no temporary folder can be written: free one, or {advice}") from error
    require(found, megabytes, advice)
    return found


def require(folder: Path, megabytes: int, advice: str) -> None:
    """Raise LocalError unless a folder can be written and has so much room."""
    if not os.access(folder, os.W_OK):
        raise LocalError(f"{folder} cannot be written: {advice}")
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < megabytes:
        raise LocalError(f"{folder} has {free} MB of room, and {megabytes} MB are needed: free some, or {advice}")
