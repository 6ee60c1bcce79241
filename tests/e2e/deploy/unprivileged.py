"""Runs commands as the user of the image, without capabilities."""

import os
import sys
from pathlib import Path

from tests.e2e.deploy.composition import SERVICES

UID, GID = map(int, SERVICES["ingest-1"]["user"].split(":"))


def unprivileged() -> list[str]:
    """Return what makes a command run as the user of the image, without capabilities; nothing if this is not root.

    One capability is left where this Python or this checkout lies in a folder that is closed to others: to read it
    all the same.
    """
    if os.geteuid() != 0:
        return []
    folders = {*Path(sys.executable).parents, *Path(sys.executable).resolve().parents, *Path(__file__).parents}
    closed = any(not folder.stat().st_mode & 0o001 for folder in folders)
    kept = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"] if closed else ["--inh-caps=-all"]
    bounding = "-all,+dac_read_search" if closed else "-all"
    return [
        "setpriv", "--reuid", str(UID), "--regid", str(GID), "--clear-groups", "--no-new-privs", *kept,
        f"--bounding-set={bounding}", "--",
    ]  # fmt: skip
