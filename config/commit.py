"""The commit of this code: a file that the build writes, or git in a checkout."""

import subprocess
from contextlib import suppress
from pathlib import Path

# deploy/install/commit_hook.py writes it into what it builds.
_FILE = Path(__file__).with_name("commit.txt")
_ROOT = Path(__file__).parents[1]


def commit() -> str:
    """Return the commit in full; empty if neither says it."""
    with suppress(OSError):
        return _FILE.read_text(encoding="ascii").strip()
    if not (_ROOT / ".git").exists():
        return ""
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return ""
