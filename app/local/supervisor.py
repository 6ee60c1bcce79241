"""Runs programs, restarts those that die, and stops them in order."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.local.machine import LocalError

# A program's exit status for a wrong configuration: a restart would not help.
EX_CONFIG = 78
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Program:
    """A program to keep running. Times are monotonic seconds."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_last: bool = False  # the other programs need it until they have ended
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = 0.0
    restart_at: float = 0.0


class Supervisor:
    """Owns the programs it starts and touches no other process.

    A program that dies is restarted: at once the first time, then after 1, 2, 4 … 10 s, until it has run for a
    minute. Programs end with their supervisor, even if it is killed (on Linux).
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
        return process is not None and process.poll() is None

    def restart_dead(self) -> None:
        """Restart programs that have died; raise LocalError if one exited because of its configuration.

        To be called regularly from the main thread.
        """
        for program in self._programs.values():
            if program.process is None:
                if time.monotonic() >= program.restart_at:
                    self._spawn(program)
            elif (status := program.process.poll()) is not None:
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
                process.send_signal(program.stop_signal)
            deadline = time.monotonic() + seconds
            for program, process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self._report(f"{program.name} did not stop in time: killed")
                _kill_group(process)
                process.wait()
        self._programs.clear()

    def _spawn(self, program: Program) -> None:
        program.starts += 1
        program.started_at = time.monotonic()
        end_with_parent = None
        if sys.platform == "linux":  # the kernel sends the child this signal when the supervisor dies
            end_with_parent = partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, program.stop_signal)
        with program.log.open("ab") as log:
            program.process = subprocess.Popen(  # noqa: S603 - commands of our own
                program.command,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor only, which stops in order
                pass_fds=self._keep_open,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one thread
            )

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


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's process group, which it leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
