"""The machine crashes after a 200: what was written and not synced is gone, and no delivery with it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

from app.local.embedded_servers import prepare_valkey, valkey_answers
from app.sandbox.kompar import encrypt
from tests.support import process_tree, servers
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.ports import free_port
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

SHIM = Path(__file__).with_name("synced.c")


class Machine:
    """A Valkey on a disk that keeps through a crash what was synced, and nothing else."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        self._port = free_port()
        self._folder, self._log, self._synced = folder / "valkey", folder / "valkey.log", folder / "synced"
        self._command = [
            "env", f"LD_PRELOAD={_compiled(folder)}", f"SYNCED={self._synced}",
            *prepare_valkey(self._folder, self._port, servers.REDIS_CONF), "--appendfsync", appendfsync,
        ]  # fmt: skip
        self._running = ExitStack()
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def boot(self) -> None:
        self._process = self._running.enter_context(servers.serving(self._command, self._log))
        eventually(lambda: valkey_answers(self.url), "valkey ready")

    def freeze(self) -> None:
        """Stop the server."""
        self._process.send_signal(signal.SIGSTOP)
        eventually(lambda: process_tree.state(self._process.pid) == "T", "valkey stopped")

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def crash(self) -> None:
        """Kill the server, and cut every file back to what its last sync covered."""
        self._process.kill()
        self._process.wait()
        for path in self._files():
            os.truncate(path, self._on_disk(path))

    def off(self) -> None:
        self.thaw()
        self._running.close()

    def would_lose(self, receipts: list[str]) -> list[str]:
        """Return which of these receipts are nowhere on disk; the server stands still."""
        safe = b"".join(path.read_bytes()[: self._on_disk(path)] for path in self._files())
        return [receipt for receipt in receipts if UUID(receipt).bytes not in safe]

    def _files(self) -> list[Path]:
        return [path for path in (self._folder / "appendonlydir").iterdir() if path.is_file()]

    def _on_disk(self, path: Path) -> int:
        notes = (line.split() for line in self._synced.read_text().splitlines())
        sizes = {int(inode): int(size) for inode, size in notes}
        return min(sizes.get(path.stat().st_ino, 0), path.stat().st_size)


def _compiled(folder: Path) -> Path:
    assert shutil.which("cc"), "a C compiler is missing: apt-get install gcc libc6-dev"
    shim = folder / "synced.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"], check=True)
    return shim


@contextmanager
def kvitto_on(machine: Machine, folder: Path, **environment: str) -> Iterator[Running]:
    """Run Kvitto on a machine; a worker is ready."""
    machine.boot()
    try:
        environment |= SECRETS | {"REDIS_URL": machine.url, "PROVIDERS": "kompar"}
        with running(folder / "data", environment) as kvitto:
            kvitto.outcome(deliver(kvitto, 0))
            yield kvitto
    finally:
        machine.off()


def deliver(kvitto: Running, number: int) -> str:
    answer = kvitto.post("applications", encrypt({"application_id": f"id-{number}"}, KEY))
    assert answer.status_code == 200
    return str(answer.json()["receipt"])


def lost(kvitto: Running, answered: list[str]) -> list[str]:
    """Return which deliveries answered 200 are not in the ledger when the inbox is empty."""
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "the inbox empty", 60)
    found = {str(row["receipt"]) for row in kvitto.rows("SELECT receipt FROM reporting.deliveries")}
    return [receipt for receipt in answered if receipt not in found]


def test_under_always_a_crash_of_the_machine_loses_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "always")
    with kvitto_on(machine, tmp_path) as kvitto:
        with process_tree.stopped(*kvitto.workers()), ThreadPoolExecutor(8) as pool:
            answered = list(pool.map(partial(deliver, kvitto), range(1, 101)))
            machine.freeze()
            assert machine.would_lose(answered) == []
            machine.crash()
            machine.boot()
        assert lost(kvitto, answered) == []
        account = kvitto.audit()
        assert (account["overflowed"], account["stored"], account["missing"]) == (0, 101, 0)


def test_under_everysec_it_loses_what_was_answered_since_the_last_sync(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "everysec")
    answered: list[str] = []
    with kvitto_on(machine, tmp_path, ALLOW_NON_DURABLE="redis.appendfsync") as kvitto:

        def is_answered_but_not_synced() -> bool:
            answered.append(deliver(kvitto, len(answered) + 1))
            machine.freeze()
            if not (found := bool(machine.would_lose(answered))):
                machine.thaw()
            return found

        with process_tree.stopped(*kvitto.workers()):
            eventually(is_answered_but_not_synced, "a 200 that is not on disk")
            unsynced = machine.would_lose(answered)
            machine.crash()
            machine.boot()
        assert lost(kvitto, answered) == unsynced
        # The edge has reported to Postgres how many it had answered.
        eventually(lambda: kvitto.audit()["missing"] == len(unsynced), "the audit reports them")
