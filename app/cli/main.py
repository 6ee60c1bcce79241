"""The group `kvitto`: imports a command's module when the command is used, and reports what is wrong with a run."""

import importlib
import os
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoSuchCommand

from app.audit.attempt_log import AttemptLogWriteError
from app.cli.local_settings import SERVERS, adopt
from app.errors import StoreUnavailableError
from app.local.data_folder import DataFolder, DataFolderError
from config.environment import ConfigurationError

# Where each command is, and its line in `kvitto --help`, which imports none of them.
COMMANDS = {
    "up": ("app.cli.up:up", "Serve everything on this machine."),
    "demo": ("app.cli.demo:demo", "Show a tour on made-up data."),
    "ingest": ("app.cli.serve:ingest", "Serve the webhooks."),
    "worker": ("app.cli.serve:worker", "Drain inboxes: open, validate, store, acknowledge."),
    "beat": ("app.cli.serve:beat", "Have every inbox swept."),
    "console": ("app.cli.serve:console", "Serve operators' page, health and metrics."),
    "migrate": ("app.cli.migrate:migrate", "Bring the schema up to date."),
    "check": ("app.cli.check:check", "Test modules, settings and servers."),
    "health": ("app.cli.health:health", "Check whether a process does its work, in one line."),
    "audit": ("app.cli.audit:audit", "Check that every 200 has its receipt."),
    "dead-letters": ("app.cli.dead_letters:dead_letters", "List, show and replay dead letters."),
    "explain": ("app.cli.explain:explain", "Say step by step what becomes of a delivery."),
    "reveal": ("app.cli.reveal:reveal", "Print one delivery's body in clear."),
    "reseal": ("app.cli.reseal:reseal", "Seal bodies again under the first key."),
    "sql": ("app.cli.sql:sql", "Show what a query finds in the ledger."),
    "subscriptions": ("app.cli.subscriptions:subscriptions", "Have providers deliver to us, by their APIs."),
    "sandbox": ("app.sandbox.commands:sandbox", "Play the providers' side."),
}
# These speak to what runs already, and find it in the data folder of `kvitto up`.
_CLIENTS = (
    "migrate", "check", "health", "audit", "dead-letters", "explain", "reveal", "reseal", "sql", "subscriptions",
    "sandbox",
)  # fmt: skip
# How to mend what a server cannot do now, by the reason.
_MENDS = {
    "postgres-unavailable": "Start Postgres{up}, or correct DATABASE_URL",
    "redis-unreachable": "Start Redis{up}, or correct REDIS_URL",
    "redis-refuses": "Correct REDIS_URL, or what Redis allows this user",
    "redis-full": "Raise its maxmemory, or wait until workers have drained it",
    "redis-loading": "Wait until it has read its data",
}


class _Commands(click.Group):
    """Imports a command's module when the command is used: a process loads only what it needs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what is wrong with settings, servers or the data folder is told in plain words."""
        own = bool(SERVERS & os.environ.keys())  # asked before what runs in the data folder is adopted
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(f"{error}{'' if own else _hint(ctx, error)}", err=True)
            ctx.exit(78)
        except StoreUnavailableError as error:
            mend = _MENDS.get(error.reason, "Try again").format(up="" if own else " (kvitto up brings one)")
            raise click.ClickException(f"{error}. {mend}.") from error
        except (DataFolderError, AttemptLogWriteError) as error:
            raise click.ClickException(str(error)) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; for one that is not there, the nearest are named."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click looks for the nearest among commands that are loaded
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".kvitto"),
    envvar="KVITTO_DATA",
    show_default=True,
    help="Data folder of `kvitto up`; other commands find there what runs, unless the environment names servers.",
)
@click.version_option(package_name="kvitto")
@click.pass_context
def kvitto(context: click.Context, data: Path) -> None:
    """Receive a lender's webhooks: every 200 is a receipt.

    \b
    Example:
      kvitto up
      kvitto sandbox send kompar --applications 20
      kvitto audit
    """
    context.obj = DataFolder(data)
    if (
        context.invoked_subcommand in _CLIENTS and context.invoked_subcommand != "check"
    ):  # which asks what it is to test
        adopt(context.obj, apis=context.invoked_subcommand == "subscriptions")


def _hint(context: click.Context, error: ConfigurationError) -> str:
    """Say where a command that speaks to what runs already has looked for it."""
    if context.invoked_subcommand not in _CLIENTS or not isinstance(context.obj, DataFolder):
        return ""
    told = ""
    if not context.obj.published():
        told = f"\nNothing was served from {context.obj.folder} yet: kvitto up does, or name its folder with --data."
    if context.invoked_subcommand == "subscriptions" and _lacks_api(error) and not context.obj.sandbox.published():
        told += "\nOr start `kvitto sandbox serve` on this data folder: it plays the providers' APIs."
    return told


def _lacks_api(error: ConfigurationError) -> bool:
    """Tell whether a setting is missing that a sandbox would tell."""
    return any(fault.message == "is not set" and fault.name not in SERVERS for fault in error.faults)
