"""Ports for tests: each test process has a block of its own, outside the range from which the kernel picks free ones.

A port that the kernel has just picked may belong to another process before a server listens on it.
"""

import fcntl
import socket
import tempfile
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import IO

_BLOCKS = range(20_000, 30_000, 100)


def free_port() -> int:
    """Return a loopback port that nothing uses; no other test process gets it, and this one not soon again."""
    _, ports = _block()
    return next(port for port in ports if _is_free(port))


@cache
def _block() -> tuple[IO[bytes], "cycle[int]"]:
    """Claim a block until this process ends; return the file that is locked for it, and its ports."""
    folder = Path(tempfile.gettempdir()) / "kvitto-test-ports"
    folder.mkdir(exist_ok=True)
    for start in _BLOCKS:
        file = (folder / str(start)).open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file, cycle(range(start, start + _BLOCKS.step))
    raise AssertionError(f"{len(_BLOCKS)} test processes are running already")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
