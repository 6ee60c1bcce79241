"""`kvitto up`: everything on this machine."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

from app.cli.output import say
from app.local.certificates import AuthorityFileError
from app.local.data_folder import DataFolder
from app.local.process_list import Scale
from app.local.stack import NotReadyError, Stack
from app.local.supervisor import ProgramConfigurationError
from app.local.wheels import EmbeddedServerError


@click.command(
    short_help="Serve everything on this machine.",
    epilog="Example: INGEST_BIND=127.0.0.1:9000 kvitto --data /var/lib/kvitto up",
)
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=2, show_default=True, help="Worker processes per provider."
)
@click.option(
    "--ingest-processes",
    "edges",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Ingest processes that share the port.",
)
@click.option("--https", is_flag=True, help="Have ingest serve HTTPS, with a throw-away certificate.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="The same as --data before the command.")
@click.pass_obj
def up(found: DataFolder, concurrency: int, edges: int, https: bool, data: Path | None) -> None:
    """Serve: embedded Postgres and Valkey unless DATABASE_URL, REDIS_URL are set; ingest, workers, beat, console.

    With --https, providers' sandboxes can deliver to it; DATA/sandbox/authority.pem is who signed the certificate.
    Restarts whatever dies. Ctrl-C or SIGTERM stops all of it; the data folder outlives restarts.
    """
    _heed(_stop)
    with contextlib.ExitStack() as ending:
        try:
            stack = Stack(DataFolder(data) if data else found, os.environ, Scale(concurrency, edges), _tell, https)
            ending.callback(stack.stop)
            ending.callback(_heed, signal.SIG_IGN)  # a second signal does not cut the end short
            click.echo(f"kvitto ready {stack.start()}")
            while True:
                time.sleep(0.2)
                stack.tend()
        except _Stopped:
            _tell("stopping")
        except (AuthorityFileError, ProgramConfigurationError, NotReadyError, EmbeddedServerError) as error:
            raise click.ClickException(str(error)) from error


class _Stopped(BaseException):  # nobody on the way may take it for a failure
    """A signal asked for the end."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """Leave whatever the main thread is in; a handler may take no lock, for that thread may hold it."""
    _heed(signal.SIG_IGN)
    raise _Stopped


def _heed(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _tell(text: str) -> None:
    say(f"kvitto {text}", style="dim", stderr=True)
