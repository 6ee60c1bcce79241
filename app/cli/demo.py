"""`kvitto demo`: a tour with made-up data, in a temporary data folder."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from app.audit import conservation
from app.audit.conservation import ProviderBalance
from app.cli import users
from app.cli.output import print_line, print_rows
from app.inbox import client
from app.inbox.stream import Inbox
from app.local.data_folder import DataFolder
from app.local.machine import DATA_MB, temporary_folder
from app.providers import registry
from app.storage import dead_letters, reports
from app.storage.connection import Connection, connect
from app.storage.console_users import User
from config.environment import Environment
from config.settings import provider_names, redis_address
from config.variables import PYTHON

# The environment may choose the addresses; a tour uses none of its servers and secrets. PYTHONPATH is where this code
# lies: config.variables has set it.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TERM", "PYTHONPATH", "INGEST_BIND", "CONSOLE_BIND")
_DRAIN_SECONDS = 60


@click.command(epilog="Example: kvitto demo")
def demo() -> None:
    """Start everything, have the sandbox deliver, and show what arrived in Postgres, and the audit.

    On a terminal it keeps serving until Ctrl-C. Exit 1 if the audit does not add up.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop what it started, as on Ctrl-C
    place = temporary_folder(DATA_MB)
    with tempfile.TemporaryDirectory(prefix="kvitto-demo-", dir=place) as folder, _serving(folder) as up:
        environment = dict(os.environ) | DataFolder(Path(folder)).published()
        _heading("The sandbox plays the providers: delivers, delivers again, once under a wrong key")
        for name, part in registry.demos().items():
            command = [*_kvitto(folder), "sandbox", "send", name, *part.sandbox_options]
            if subprocess.run(command, check=False, env=environment).returncode:  # noqa: S603
                raise click.ClickException("not every delivery was answered 200; ingest shows why above")
        with connect(environment["DATABASE_URL"], "demo") as connection:
            adds_up = _show(connection, _drained(connection, environment))
            password = users.put(connection, User("demo", "operator"), "demo")
        if not adds_up:
            raise SystemExit(1)
        if sys.stdin.isatty() and sys.stdout.isatty():
            console = f"http://{environment['CONSOLE_BIND']} (user demo, password {password})"
            click.echo(f"\nStill serving; the console is at {console}. Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                up.wait()


def _kvitto(folder: str) -> list[str]:
    return [*PYTHON, "-m", "app.cli", "--data", folder]


@contextmanager
def _serving(folder: str) -> Iterator[subprocess.Popen[str]]:
    """Run `kvitto up` for the duration of a block."""
    _heading("kvitto up: Postgres, Valkey, ingest, worker, beat, console")
    inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
    with subprocess.Popen([*_kvitto(folder), "up"], stdout=subprocess.PIPE, text=True, env=inherited) as up:  # noqa: S603
        try:
            ready = up.stdout.readline() if up.stdout else ""
            if not ready:
                raise click.ClickException("kvitto up did not become ready; it shows why above")
            click.echo(ready.strip())
            yield up
        finally:
            up.terminate()


def _drained(connection: Connection, environment: Mapping[str, str]) -> list[ProviderBalance]:
    """Return the audit of every inbox, once nothing is in flight or a minute has passed."""
    redis = client.connect(redis_address(Environment(environment)))
    inboxes = [Inbox(redis, name) for name in provider_names(Environment(environment))]
    deadline = time.monotonic() + _DRAIN_SECONDS
    while True:
        balances = [conservation.audit(connection, inbox) for inbox in inboxes]
        if not any(balance.in_flight for balance in balances) or time.monotonic() > deadline:
            return balances
        time.sleep(0.1)


def _show(connection: Connection, balances: list[ProviderBalance]) -> bool:
    """Print what arrived, and the audit; return whether it adds up."""
    for table in (table for part in registry.demos().values() for table in part.tables):
        _heading(table.title)
        print_rows(reports.view(connection, table.view), table.columns, False, "none")
    _heading("Recognised as retries")
    retries = reports.newest_deliveries(connection, "duplicate")
    print_rows(retries, ("receipt", "topic", "entity_id", "outcome"), False, "none")
    _heading("Dead letters, kept sealed until they can be opened")
    letters = dead_letters.select(connection, dead_letters.Selection())
    print_rows(letters, ("receipt", "topic", "reason", "detail"), False, "none")
    _heading("The audit: every appended entry is accounted for")
    print_rows([balance.row() for balance in balances], conservation.COLUMNS, False, "none")
    adds_up = not any(balance.missing or balance.in_flight for balance in balances)
    print_line("adds up" if adds_up else "DOES NOT ADD UP", "green" if adds_up else "bold red")
    return adds_up


def _heading(text: str) -> None:
    print_line(f"\n{text}", "bold")
