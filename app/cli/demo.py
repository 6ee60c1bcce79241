"""`kvitto demo`: a tour on made-up data, in a data folder of its own that is gone afterwards."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from app.audit import conservation as auditing
from app.cli.output import print_rows, say
from app.inbox import client
from app.inbox.stream import Inbox
from app.local.data_folder import DataFolder
from app.local.machine import DATA_MB, MachineError, temporary_folder
from app.providers import registry
from app.storage import dead_letters, reports
from app.storage.connection import Connection, connect
from config.environment import Environment
from config.settings import provider_names
from config.variables import PYTHON

# Where it listens may be chosen; no server and no secret of the environment's is for a tour.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TERM", "INGEST_BIND", "CONSOLE_BIND")


@click.command(short_help="Show a tour on made-up data.", epilog="Example: kvitto demo")
def demo() -> None:
    """Start everything, have the sandbox deliver, and show what landed in Postgres and the audit.

    On a terminal it keeps serving until Ctrl-C. Exits 1 if the audit does not add up.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what it started, as on Ctrl-C
    try:
        place = temporary_folder(DATA_MB)
    except MachineError as error:
        raise click.ClickException(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="kvitto-demo-", dir=place) as folder, _serving(Path(folder)) as up:
        environment = dict(os.environ) | DataFolder(Path(folder)).published()
        _step("The sandbox plays the providers: delivers, delivers again, once under a wrong key")
        for name, part in registry.demos().items():
            send = [*_kvitto(folder), "sandbox", "send", name, *part.sandbox_options]
            if subprocess.run(send, check=False, env=environment).returncode:  # noqa: S603
                raise click.ClickException("not every delivery was answered 200; ingest says why above")
        with connect(environment["DATABASE_URL"], "demo") as connection:
            sound = _show(connection, environment)
        if not sound:
            raise SystemExit(1)
        if sys.stdin and sys.stdin.isatty() and sys.stdout.isatty():  # there is none where it is closed
            password = Path(environment["CONSOLE_PASSWORD_FILE"]).read_text(encoding="utf-8")
            console = f"http://{environment['CONSOLE_BIND']} (any user name, password {password})"
            click.echo(f"\nStill serving; the console is at {console}. Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                up.wait()


def _kvitto(folder: str | Path) -> list[str]:
    return [*PYTHON, "-m", "app.cli", "--data", str(folder)]


@contextmanager
def _serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `kvitto up` until the tour is over; it uses no server and no secret that the environment may name."""
    _step("kvitto up: Postgres, Valkey, ingest, worker, beat, console")
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    with subprocess.Popen([*_kvitto(folder), "up"], stdout=subprocess.PIPE, text=True, env=kept) as up:  # noqa: S603
        try:
            assert up.stdout is not None  # noqa: S101
            ready = up.stdout.readline()
            if not ready:
                raise click.ClickException("kvitto up did not become ready; it says why above")
            click.echo(ready.strip())
            yield up
        finally:
            up.terminate()


def _show(connection: Connection, environment: dict[str, str]) -> bool:
    """Show what landed; tell whether the audit adds up."""
    boxes = [Inbox(client.connect(environment["REDIS_URL"]), name) for name in provider_names(Environment(environment))]
    accounts = [_settled(connection, box) for box in boxes]
    for table in (table for part in registry.demos().values() for table in part.tables):
        _step(table.title)
        print_rows(reports.view(connection, table.view), table.columns, False, "none")
    _step("Recognised as retries")
    print_rows(
        reports.newest_deliveries(connection, "duplicate"),
        ("receipt", "topic", "entity_id", "outcome"),
        False,
        "none",
    )
    _step("Dead letters, kept sealed until they can be opened")
    letters = dead_letters.select(connection, dead_letters.Selection())
    print_rows(letters, ("receipt", "topic", "reason", "detail"), False, "none")
    _step("The audit: every entry appended is accounted for")
    print_rows([account.row() for account in accounts], auditing.COLUMNS, False, "none")
    sound = all(account.missing == 0 and account.in_flight == 0 for account in accounts)
    say("adds up" if sound else "DOES NOT ADD UP", "green" if sound else "bold red")
    return sound


def _settled(connection: Connection, box: Inbox) -> auditing.ProviderBalance:
    """Wait until nothing is in flight, a minute at most."""
    deadline = time.monotonic() + 60
    while True:
        account = auditing.audit(connection, box)
        if account.in_flight == 0 or time.monotonic() > deadline:
            return account
        time.sleep(0.1)


def _step(text: str) -> None:
    say(f"\n{text}", "bold")
