"""Finds the processes of a running Kvitto below its supervisor, and sends them signals."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.fault_context import FaultContext
from tests.support import process_tree
from tests.support.servers import eventually

EDGE = ("kvitto ingest",)
WORKER = ("celeryd: kompar@",)
WORKERS = ("celeryd: ",)
BEAT = ("celery beat",)
REDIS = ("valkey-server",)
POSTGRES = ("bin/postgres", "-D")

# A worker whose children die while they start waits for them for 10 s, then starts over.
_START_SECONDS = 90.0


def parent(context: FaultContext, part: tuple[str, ...]) -> int:
    """Return the process that the supervisor started; waits while it is being restarted."""
    return family(context, part)[0]


def children(context: FaultContext, part: tuple[str, ...]) -> list[int]:
    """Return the child processes of a part; waits for the first."""
    return _awaited(lambda: list(process_tree.below(parent(context, part))), f"children of {part[0]}")


def family(context: FaultContext, part: tuple[str, ...]) -> list[int]:
    """Return all processes of a part, the supervisor's own child first; waits while it is being restarted."""
    return _awaited(lambda: process_tree.named(context.kvitto.process.pid, *part), f"{part[0]} running")


def _awaited(find: Callable[[], list[int]], what: str) -> list[int]:
    pids: list[int] = []

    def exist() -> bool:
        pids[:] = find()
        return bool(pids)

    eventually(exist, what, _START_SECONDS)
    return pids


def send(number: signal.Signals, *pids: int) -> None:
    """Send a signal to those processes that are still running."""
    for pid in pids:
        if process_tree.is_running(pid):
            os.kill(pid, number)


def let_no_file_grow(pid: int, beyond: int) -> None:
    """Make a process's writes fail beyond so many bytes of a file, as on a full disk; ignores one that ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return
    status = dict(line.split(":", 1) for line in text.splitlines())
    user, group = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    is_own = user == os.getuid()  # otherwise run as that user: even root is not allowed to
    subprocess.run(
        ["prlimit", "--pid", str(pid), f"--fsize={beyond}:"],
        stderr=subprocess.DEVNULL,
        user=None if is_own else user,
        group=None if is_own else group,
        extra_groups=None if is_own else [],
        check=False,
    )


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes for the duration of a block, as on a host that hangs."""
    with process_tree.stopped(*pids):
        yield
