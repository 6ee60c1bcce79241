"""Runs `kvitto` commands as forks of one process that has imported them: 30 ms each, where a new Python needs 500.

The tests run some thousand commands. Each still is a process of its own, with its own arguments, environment, folder,
streams and exit status, and runs `app.cli.__main__.main` from its first line.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from pkgutil import walk_packages
from typing import IO, Any, NoReturn

from setproctitle import getproctitle

import app.providers
from app.process_settings import MODULES
from tests.support.command_client import request

ROOT = Path(__file__).parents[2]


class Command:
    """A command that runs; its methods are those of subprocess.Popen."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None, streams: Sequence[int]
    ) -> None:
        """Start it, with three descriptors as its standard streams."""
        self.args = list(arguments)
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_server())
        self._answers = b""
        request(self._connection, arguments, environment, str(folder or Path.cwd()), streams)
        self.pid = self._answer(None)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status; raise subprocess.TimeoutExpired if it runs for so many seconds more."""
        if self.returncode is None:
            try:
                self.returncode = self._answer(timeout)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without warning."""
        self.send_signal(signal.SIGKILL)

    def _answer(self, seconds: float | None) -> int:
        """Return the server's next line, a number."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._answers:
            self._connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0))
            received = self._connection.recv(100)
            assert received, "the server of commands has ended"
            self._answers += received
        line, _, self._answers = self._answers.partition(b"\n")
        return int(line)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command; raise subprocess.TimeoutExpired if it takes longer than so many seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        process = Command(arguments, environment, folder, [each.fileno() for each in (nothing, out, err)])
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(list(arguments), seconds, _text(out), _text(err)) from None
        return subprocess.CompletedProcess(list(arguments), status, _text(out), _text(err))


def client() -> list[str]:
    """Return the command line that is `kvitto` in a script: arguments follow."""
    return [sys.executable, "-IS", str(Path(__file__).with_name("command_client.py")), _server()]


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def _server() -> str:
    """Start the server of this test process; return the path of its socket."""
    folder = tempfile.mkdtemp(prefix="kvitto-commands-")
    atexit.register(shutil.rmtree, folder)
    path = f"{folder}/socket"
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen([sys.executable, "-m", __name__, path], env=environment, cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    atexit.register(process.terminate)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return path


class _Server:
    """Forks for each connection, which it answers with the id of the fork and, once that has ended, its status."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the process has ended that started this one."""
        parent = os.getppid()
        while os.getppid() == parent:
            for key, _ in self._selector.select(0.5):
                if key.data is None:
                    self._start(self._listener.accept()[0])
                else:
                    self._end(key.fd, *key.data)

    def _start(self, connection: socket.socket) -> None:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile() as lines:
            arguments, environment, folder = json.loads(lines.readline())
        process = os.fork()
        if process == 0:
            connection.close()
            for key in list(self._selector.get_map().values()):
                os.close(key.fd)
            _become(arguments, environment, folder, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(f"{process}\n".encode())
        self._selector.register(os.pidfd_open(process), selectors.EVENT_READ, (process, connection))

    def _end(self, descriptor: int, process: int, connection: socket.socket) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(process, 0)
        with connection, contextlib.suppress(BrokenPipeError):  # nobody may wait for it
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(arguments: list[str], environment: dict[str, str], folder: str, descriptors: list[int]) -> NoReturn:
    """Be the command, and end with its status as the interpreter would."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    program: Any = importlib.import_module("app.cli.__main__")
    sys.modules["__main__"] = program
    sys.argv = [program.__file__, *arguments]
    status = 1
    try:
        program.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        else:
            status = end.code or 0
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def _serve(path: str) -> None:
    getproctitle()  # as a program does first; a fork that has lost the environment could not
    commands = importlib.import_module("app.cli.main").COMMANDS
    places = (place.partition(":")[0] for place, _ in commands.values())
    processes = chain.from_iterable(MODULES.values())  # `up` forks those, and `check` imports them
    of_providers = (found.name for found in walk_packages(app.providers.__path__, "app.providers."))
    for module in chain(places, processes, of_providers):
        importlib.import_module(module)
    gc.freeze()  # else each fork's collections would copy all of it
    server = _Server(path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve()


if __name__ == "__main__":
    _serve(sys.argv[1])
