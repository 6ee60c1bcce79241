"""Finds processes by their command line, below one that a test started."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tests.support.servers import eventually


def below(pid: int) -> dict[int, str]:
    """Return the running descendants of a process with their command lines: children before their own children."""
    # Not by pathlib, which would take most of the time: some tests look often, among hundreds of processes.
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended meanwhile
            letter, parent, *_ = _stat(name)
            if letter != "Z":
                children.setdefault(int(parent), []).append(int(name))
    found: dict[int, str] = {}
    level = [pid]
    while level:
        level = sorted(child for parent in level for child in children.get(parent, ()))
        for child in level:
            with suppress(OSError):
                found[child] = _command(child)
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


def state(pid: int | str) -> str:
    """Return the state of a process, or of a thread (`PID/task/TID`), a letter: T stands still, Z is a zombie."""
    return _stat(pid)[0]


def _stat(pid: int | str) -> list[str]:
    """Return what the kernel says of a process, from its state on."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")


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
        return all(state(f"{pid}/task/{thread}") in ("T", "Z", "X") for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return True  # it ended


def _signal(pids: Iterable[int], which: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, which)
