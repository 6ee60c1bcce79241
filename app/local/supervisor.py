"""Runs programs, restarts those that die, and stops them in order."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

from app.local.machine import LocalError

# A program's exit status for a wrong configuration: a restart would not help.
EX_CONFIG = 78
_PR_SET_PDEATHSIG = 1
_FORK = multiprocessing.get_context("fork")


def execute(command: list[str]) -> None:
    """Replace this process by a command, under the environment of this process."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and would pass that on
    os.execvp(command[0], command)  # noqa: S606 - commands of our own


@dataclass(slots=True)
class Program:
    """A program to keep running: `run` is called in a fork, which ends when it returns. Times are monotonic seconds."""

    name: str
    run: Callable[[], object]
    environment: Mapping[str, str]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_last: bool = False  # the other programs need it until they have ended
    process: ForkProcess | None = None
    starts: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0


class Supervisor:
    """Owns the programs it starts and touches no other process.

    A program that dies is restarted: at once the first time, then after 1, 2, 4 … 10 s, until it has run for a
    minute. Programs end with their supervisor, even if it is killed (on Linux). They are forks, so that they share the
    time and the memory that imports took: start it from a process with one thread.
    """

    def __init__(self, report: Callable[[str], None], keep_open: Sequence[int] = ()) -> None:
        self._report = report
        self._keep_open = keep_open
        self._programs: dict[str, Program] = {}

    def start(self, program: Program) -> None:
        """Start a program and keep it running."""
        self._programs[program.name] = program
        self._spawn(program)

    def runs(self, name: str) -> bool:
        """Return whether a program is running now."""
        process = self._programs[name].process
        return process is not None and process.is_alive()

    def restart_dead(self) -> None:
        """Restart programs that have died; raise LocalError if one exited because of its configuration.

        To be called regularly from the main thread.
        """
        for program in self._programs.values():
            if program.process is None:
                if time.monotonic() >= program.restart_at:
                    self._spawn(program)
            elif (status := program.process.exitcode) is not None:
                _kill_group(program.process)  # its children would keep its ports and claims
                program.process = None
                self._schedule_restart(program, status)

    def stop(self, seconds: float = 40.0) -> None:
        """Stop all programs at once, and then those with `stop_last`; kill what does not end in time."""
        for last in (False, True):
            running = [
                (program, program.process)
                for program in self._programs.values()
                if program.stop_last is last and program.process is not None
            ]
            for program, process in running:
                _send(process, program.stop_signal)
            deadline = time.monotonic() + seconds
            for program, process in running:
                process.join(max(0.0, deadline - time.monotonic()))
                if process.is_alive():
                    self._report(f"{program.name} did not stop in time: killed")
                _kill_group(process)
                process.join()
        self._programs.clear()

    def _spawn(self, program: Program) -> None:
        program.starts += 1
        program.started_at = time.monotonic()
        if program.starts == 1:
            gc.freeze()  # a collection in the fork would write to what both share, and so copy all of it
        program.process = _FORK.Process(target=_become, args=(program, self._keep_open), name=program.name)
        program.process.start()

    def _schedule_restart(self, program: Program, status: int) -> None:
        if status == EX_CONFIG:
            lines = program.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise LocalError(f"{program.name} refused to start:\n" + "\n".join(lines[-20:]))
        if time.monotonic() - program.started_at > 60:
            program.starts = 1
        delay = 0 if program.starts == 1 else min(2 ** (program.starts - 2), 10)
        program.restart_at = time.monotonic() + delay
        cause = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._report(f"{program.name} ended {cause}; restart in {delay} s (log: {program.log})")


def _become(program: Program, keep_open: Sequence[int]) -> None:
    """Be a program, in a fork: with its own environment, log and session, and none of the supervisor's handlers."""
    os.setsid()  # Ctrl-C at the terminal reaches the supervisor only, which stops in order
    if sys.platform == "linux":  # the kernel sends this signal when the supervisor dies
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, program.stop_signal)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in keep_open:
        os.set_inheritable(descriptor, True)
    with open(os.devnull, "rb") as nothing, program.log.open("ab") as log:
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source.fileno(), target)
    os.environ.clear()
    os.environ.update(program.environment)
    program.run()


def _send(process: ForkProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, number)


def _kill_group(process: ForkProcess) -> None:
    """Kill what is left of the program's process group, which it leads."""
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
