"""Folders for the small files that processes of one user share on one machine."""

import os
import tempfile
from pathlib import Path


def private_folder(purpose: str) -> Path:
    """Return the folder for a purpose, within TMPDIR or /tmp; its name holds the user's number."""
    return Path(tempfile.gettempdir()) / f"kvitto-{purpose}-{os.getuid()}"
