"""Beat's heartbeat: a file that beat touches before every canary, for a health check on the same machine."""

import hashlib
import time

from config.folders import private_folder


class Heartbeat:
    """The heartbeat of the beat that sends to `ingest_url`. A machine may run several, with one file each."""

    def __init__(self, ingest_url: str) -> None:
        folder = private_folder("beat")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / hashlib.sha256(ingest_url.encode()).hexdigest()[:16]

    def beat(self) -> None:
        """Record that a canary is being sent, whether or not it arrives."""
        self._file.touch(mode=0o600)

    def age_seconds(self) -> float | None:
        """Return how long ago the last canary was sent; None if none ever was."""
        try:
            return max(0.0, time.time() - self._file.stat().st_mtime)
        except FileNotFoundError:
            return None
