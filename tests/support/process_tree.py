"""Finds processes by their command line, below one that a test started."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.servers import eventually


def below(pid: int) -> dict[int, str]:
    """Return the running descendants of a process with their command lines: children before their own children."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = (int(fields[1]), fields[0], _command(entry))
            except OSError:
                continue  # it ended meanwhile
    found: dict[int, str] = {}
    level = [pid]
    while level:
        level = [child for child, (parent, _, _) in sorted(parents.items()) if parent in level]
        found |= {child: parents[child][2] for child in level if parents[child][1] != "Z"}
    return found


def named(pid: int, *words: str) -> list[int]:
    """Return the descendants of a process whose command line holds all of these words, parents first.

    Not in the order of their ids, which start again after the highest.
    """
    return [child for child, command in below(pid).items() if all(word in command for word in words)]


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return state(pid) != "Z"
    except OSError:
        return False


def state(pid: int) -> str:
    """Return a process's state, a letter: T stands still, Z is a zombie."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _command(entry: Path) -> str:
    return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def kill(*pids: int) -> None:
    """Kill without warning."""
    _signal(pids, signal.SIGKILL)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Have processes stand still for the duration of a block; those that end by themselves meanwhile are let go."""
    _signal(pids, signal.SIGSTOP)
    eventually(lambda: all(map(_stands_still, pids)), "all processes standing still")
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    """Return whether no thread of a process runs: on a busy machine a thread runs on for a while after the signal."""
    try:
        threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return True  # it ended
    return all(text.rpartition(")")[2].split()[0] in ("T", "Z", "X") for text in threads)


def _signal(pids: Iterable[int], which: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, which)
