"""Runs commands on a pseudo-terminal, as someone at a keyboard would."""

import os
import pty
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.command_server import Command
from tests.support.servers import bare_environment


@dataclass(slots=True)
class Terminal:
    """A command on a terminal; `text` is what it wrote so far, on both outputs, escape sequences included."""

    process: Command
    screen: int
    text: str = ""

    def read(self, until: str | None = None) -> str:
        """Read until text that matches a regular expression was written, or to the end; return all that was written."""
        while until is None or not re.search(until, self.text):
            try:
                read = os.read(self.screen, 65536)
            except OSError:  # Linux' way to say that the other side has closed
                read = b""
            if not read:
                break
            self.text += read.decode()
        assert until is None or re.search(until, self.text), self.text
        return self.text.replace("\r\n", "\n")

    def end(self) -> int:
        """Read to the end and return the command's status."""
        self.read()
        return self.process.wait(60)


@contextmanager
def terminal(*arguments: str, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a `kvitto` command on a terminal of its own."""
    screen, line = pty.openpty()
    settings = bare_environment() | {"TERM": "xterm-256color"} | dict(environment)
    process = Command(arguments, settings, None, [line] * 3)
    os.close(line)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)
