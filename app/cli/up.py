"""`kvitto up`: everything on this machine."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import click

from app.cli.__main__ import main
from app.cli.output import print_line
from app.local.data_folder import DataFolder
from app.local.stack import Stack


@click.command(epilog="Example: INGEST_BIND=127.0.0.1:9000 kvitto --data /var/lib/kvitto up")
@click.option("--concurrency", type=click.IntRange(min=1), default=2, help="Worker processes per provider.")
@click.option("--ingest-processes", type=click.IntRange(min=1), default=1, help="Ingest processes that share the port.")
@click.option("--https", is_flag=True, help="Serve ingest by HTTPS, with a throw-away certificate.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The same as --data before the command.")
@click.pass_obj
def up(default: DataFolder, concurrency: int, ingest_processes: int, https: bool, data: Path | None) -> None:
    """Serve ingest, workers, beat and console; Postgres and Valkey too, unless DATABASE_URL and REDIS_URL are set.

    With --https, the sandbox's providers can deliver to it; DATA/sandbox/authority.pem signed the certificate. A
    process that dies is restarted. Ctrl-C or SIGTERM stops everything; the data folder stays.
    """
    _on_stop(_raise_stopped)
    with contextlib.ExitStack() as cleanup:
        try:
            stack = Stack(DataFolder(data) if data else default, os.environ, _report, _run_command)
            cleanup.callback(stack.stop)
            cleanup.callback(_on_stop, signal.SIG_IGN)  # a second signal must not interrupt the stop
            click.echo(f"kvitto ready {stack.start(concurrency, ingest_processes, https)}")
            while True:
                time.sleep(0.2)
                stack.restart_dead()
        except _StoppedError:
            _report("stopping")


def _run_command(arguments: Sequence[str]) -> None:
    sys.argv[1:] = arguments
    main()


class _StoppedError(BaseException):
    """SIGTERM or SIGINT arrived. No Exception: nothing on the way may handle it as a failure."""


def _raise_stopped(_signal: int, _frame: FrameType | None) -> None:
    """Raise in the main thread, wherever it is; a handler may take no lock, since that thread may hold it."""
    _on_stop(signal.SIG_IGN)
    raise _StoppedError


def _on_stop(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _report(text: str) -> None:
    print_line(f"kvitto {text}", style="dim", stderr=True)
