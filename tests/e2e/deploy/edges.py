"""Ingest processes of a test's own, behind one address each, without any privilege."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.deploy.unprivileged import unprivileged
from tests.support.kvitto_process import command, with_secrets
from tests.support.ports import free_port
from tests.support.servers import eventually, status_of

# Six processes that start at once on a machine that is busy.
START_SECONDS = 120.0


class Edge:
    """One `kvitto ingest` that can be stopped and started again under its address; `limits` are options of prlimit."""

    def __init__(self, environment: Mapping[str, str], log: Path, limits: Sequence[str] = ()) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = with_secrets(environment) | {"INGEST_BIND": self.address}
        self._log = log
        self._line = [*(("prlimit", *limits) if limits else ()), *unprivileged(), *command("ingest")]
        self.process = self._spawn()

    def restart(self) -> int:
        """Stop it as an engine does, start it again, and wait until it is ready; return the first one's status."""
        self.process.terminate()
        status = self.process.wait(60)
        self.start()
        return status

    def start(self) -> None:
        """Start it again where it has ended, and return once it is ready."""
        self.process = self._spawn()
        self.wait()

    def wait(self) -> None:
        """Wait until it is ready."""
        url = f"http://{self.address}/readyz"
        eventually(lambda: status_of(url) == 200, "ingest ready: ", START_SECONDS, self._log)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._line, env=self._environment, stdout=log, stderr=log)


@contextmanager
def edges(
    folder: Path, environment: Mapping[str, str], count: int = 2, limits: Sequence[str] = ()
) -> Iterator[list[Edge]]:
    """Run ingest processes for the duration of a block."""
    found = [Edge(environment, folder / f"ingest-{number}.log", limits) for number in range(1, count + 1)]
    try:
        for edge in found:
            edge.wait()
        yield found
    finally:
        for edge in found:
            edge.process.terminate()
        for edge in found:
            edge.process.wait(60)
