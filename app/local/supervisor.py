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
from pathlib import Path

# What a program that refuses its configuration exits with: starting it again would not help.
EX_CONFIG = 78
_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1


class ProgramConfigurationError(Exception):
    """A program refused to start; the text is what it said."""


@dataclass(slots=True)
class Program:
    """A program to keep running. Times are monotonic seconds."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_last: bool = False  # the others need it until they have ended
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    started_at: float = 0.0
    start_again_at: float = 0.0


class Supervisor:
    """Owns the programs it starts and touches no other process.

    A program that dies is started again: at once the first time, then after 1, 2, 4 … 10 s, until it
    has run for a minute. Programs end with their supervisor, even if that is killed (on Linux).
    """

    def __init__(self, tell: Callable[[str], None], keep_open: Sequence[int] = ()) -> None:
        self._tell = tell
        self._keep_open = keep_open
        self._programs: list[Program] = []

    def start(self, program: Program) -> None:
        """Start a program and keep it running from now on."""
        self._programs.append(program)
        self._spawn(program)

    def runs(self, name: str) -> bool:
        """Tell whether a program is running now."""
        return any(each.name == name and each.process and each.process.poll() is None for each in self._programs)

    def restart_dead(self) -> None:
        """Start again what has died; to be called every now and then, from the main thread.

        Raises:
            ProgramConfigurationError: A program found its configuration wrong.
        """
        for program in self._programs:
            if program.process is None:
                if time.monotonic() >= program.start_again_at:
                    self._spawn(program)
            elif (status := program.process.poll()) is not None:
                self._bury(program, status)

    def stop(self, seconds: float = 40.0) -> None:
        """Stop all programs at once, those that outlive the others after them; what does not end in time is killed."""
        for outlives in (False, True):
            programs = [each for each in self._programs if each.stop_last is outlives and each.process]
            for program in programs:
                assert program.process is not None  # noqa: S101
                program.process.send_signal(program.stop_signal)
            deadline = time.monotonic() + seconds
            for program in programs:
                self._await_end(program, deadline)
        self._programs.clear()

    def _await_end(self, program: Program, deadline: float) -> None:
        assert program.process is not None  # noqa: S101
        try:
            program.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._tell(f"{program.name} did not stop in time: killed")
        _kill_group(program.process)
        program.process.wait()
        program.process = None

    def _spawn(self, program: Program) -> None:
        program.starts += 1
        program.started_at = time.monotonic()
        with program.log.open("ab") as log:
            program.process = subprocess.Popen(  # noqa: S603 - commands of our own
                program.command,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is the supervisor's to hand on
                pass_fds=self._keep_open,
                preexec_fn=_end_with_parent(program.stop_signal) if _LINUX else None,  # noqa: PLW1509 - one thread
            )

    def _bury(self, program: Program, status: int) -> None:
        assert program.process is not None  # noqa: S101
        _kill_group(program.process)  # its children would hold ports and claims of their own
        program.process = None
        if status == EX_CONFIG:
            said = program.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ProgramConfigurationError(f"{program.name} refused to start:\n" + "\n".join(said[-20:]))
        if time.monotonic() - program.started_at > 60:
            program.starts = 1
        delay = 0 if program.starts == 1 else min(2 ** (program.starts - 2), 10)
        program.start_again_at = time.monotonic() + delay
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._tell(f"{program.name} ended {how}; starting it again in {delay} s (log: {program.log})")


def _end_with_parent(stop_signal: signal.Signals) -> Callable[[], None]:
    """Have the kernel send `stop_signal` when the supervisor dies without a chance to say goodbye."""
    libc = ctypes.CDLL(None)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, stop_signal)

    return set_death_signal


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's session: it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
