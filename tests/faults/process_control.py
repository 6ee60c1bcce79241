"""The parts of a running Kvitto, found below its supervisor; and signals to them."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import process_tree
from tests.faults.fault_context import Scene
from tests.servers import eventually

EDGE = ("app.cli ingest",)
WORKER = ("app.cli worker", "--provider kompar")
WORKERS = ("app.cli worker",)
BEAT = ("app.cli beat",)
REDIS = ("valkey-server",)
POSTGRES = ("bin/postgres", "-D")

# A worker whose children die while they start waits for them for 10 s, then begins anew.
_START_SECONDS = 90.0


def parent(scene: Scene, part: tuple[str, ...]) -> int:
    """Return the process that the supervisor started; waits for one that is being started again."""
    return family(scene, part)[0]


def children(scene: Scene, part: tuple[str, ...]) -> list[int]:
    """Return what a part's process started in turn; waits for the first."""
    return _awaited(lambda: list(process_tree.below(parent(scene, part))), f"children of {part[0]}")


def family(scene: Scene, part: tuple[str, ...]) -> list[int]:
    """Return all processes of a part, the supervisor's own child first; waits for one that is being started again."""
    return _awaited(lambda: process_tree.named(scene.kvitto.process.pid, *part), f"{part[0]} running")


def _awaited(look: Callable[[], list[int]], what: str) -> list[int]:
    found: list[int] = []

    def is_found() -> bool:
        found[:] = look()
        return bool(found)

    eventually(is_found, what, _START_SECONDS)
    return found


def send(number: signal.Signals, *pids: int) -> None:
    """Send a signal to processes that are there still."""
    for pid in pids:
        if process_tree.is_running(pid):
            os.kill(pid, number)


def let_no_file_grow(pid: int, beyond: int) -> None:
    """Have a process' writes fail beyond so many bytes of a file, as on a full disk; one that ended is left alone."""
    try:
        owner = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return
    status = dict(line.split(":", 1) for line in owner.splitlines())
    user, group = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    same = user == os.getuid()  # else asked for as that user: root alone may not
    subprocess.run(
        ["prlimit", "--pid", str(pid), f"--fsize={beyond}:"],
        stderr=subprocess.DEVNULL,
        user=None if same else user,
        group=None if same else group,
        extra_groups=None if same else [],
        check=False,
    )


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes for the duration of a block, as a host does that hangs."""
    send(signal.SIGSTOP, *pids)
    try:
        yield
    finally:
        send(signal.SIGCONT, *pids)
