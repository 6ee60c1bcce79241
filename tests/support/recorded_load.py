"""A load that goes on until it is ended, by `kvitto sandbox send`, recorded so that the ledger can be compared."""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Runs a `kvitto` command with these words.
Run = Callable[..., subprocess.CompletedProcess[str]]


class RecordedLoad(threading.Thread):
    """Sends rounds of a few seconds, each event until it is answered 200 or given up as its provider does."""

    def __init__(self, run: Run, url: str, record: Path, rate: int) -> None:
        super().__init__(name="recorded-load", daemon=True)
        self._run = run
        self._options = ["--url", url, "--rate", f"{rate}/s", "--duration", "10s", "--record", str(record), "--json"]
        self._ending = threading.Event()
        # Attempts by the status of their answer, 0 without one; and how each delivery ended.
        self.statuses: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        """Send until `finish` is called."""
        seed = 0
        while not self._ending.is_set():
            seed += 1
            done = self._run("sandbox", "send", "--seed", str(seed), *self._options)
            try:
                figures = json.loads(done.stdout)
            except ValueError:
                self.failures.append(done.stdout + done.stderr)
                return
            self.statuses.update(figures["statuses"])
            self.ended.update({name: figures[name] for name in ("delivered", "given up", "left")})

    def finish(self) -> None:
        """End after this round and its retries."""
        self._ending.set()
        self.join(200)
        assert not self.is_alive(), "the load does not end"
        assert not self.failures, self.failures


@contextmanager
def recorded_load(run: Run, url: str, record: Path, rate: int) -> Iterator[RecordedLoad]:
    """Send during a block, to its end."""
    load = RecordedLoad(run, url, record, rate)
    load.start()
    try:
        yield load
    finally:
        load.finish()
