"""The group `kvitto`: imports a command's module when the command is used, and reports errors as sentences."""

import os
import pkgutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoSuchCommand

from app.audit.attempt_log import AttemptLogWriteError
from app.cli.local_settings import SERVERS, adopt
from app.errors import StoreUnavailableError
from app.local.data_folder import DataFolder
from app.local.machine import LocalError
from config.commit import commit
from config.environment import ConfigurationError

# Each command's place, and its line in `kvitto --help`, which imports none of them.
COMMANDS = {
    "up": ("app.cli.up:up", "Serve everything on this machine."),
    "demo": ("app.cli.demo:demo", "Show a tour with made-up data."),
    "ingest": ("app.cli.serve:ingest", "Serve the webhooks."),
    "worker": ("app.cli.serve:worker", "Process the deliveries in the inboxes."),
    "beat": ("app.cli.serve:beat", "Schedule sweeps, audits and canaries."),
    "console": ("app.cli.serve:console", "Serve the operators' page, health and metrics."),
    "migrate": ("app.cli.migrate:migrate", "Bring the schema up to date."),
    "check": ("app.cli.check:check", "Check modules, settings and servers before a start."),
    "health": ("app.cli.health:health", "Check whether a process does its work."),
    "audit": ("app.cli.audit:audit", "Check that every 200 has its receipt."),
    "dead-letters": ("app.cli.dead_letters:dead_letters", "List, show, replay and discard dead letters."),
    "rejected": ("app.cli.rejected:rejected", "List and readmit requests that were rejected."),
    "deliveries": ("app.cli.deliveries:deliveries", "Decide about suspected late retries."),
    "feed": ("app.cli.feed:feed", "Print changes as they come, for programs that consume them."),
    "explain": ("app.cli.explain:explain", "Explain step by step how a delivery is processed."),
    "reveal": ("app.cli.bodies:reveal", "Print one delivery's body in clear."),
    "export": ("app.cli.privacy:export", "Print all that is held of a person or an entity."),
    "erase": ("app.cli.privacy:erase", "Erase all that is held of a person or an entity."),
    "access-log": ("app.cli.privacy:access_log", "Print who did what with the data of others."),
    "users": ("app.cli.users:users", "Add, list and remove users of the console."),
    "reseal": ("app.cli.bodies:reseal", "Seal bodies again under the first key."),
    "retention": ("app.cli.retention:retention", "Show and apply how long the ledger keeps what."),
    "sql": ("app.cli.sql:sql", "Run a read-only query on the ledger."),
    "subscriptions": ("app.cli.subscriptions:subscriptions", "Register with providers where they deliver."),
    "sandbox": ("app.sandbox.commands:sandbox", "Play the providers' side."),
}
# Commands that serve. The others use a running Kvitto, and find its settings in the data folder of `kvitto up`.
_SERVING = ("up", "demo", "ingest", "worker", "beat", "console")
# Where a command finds the names of the variables that were removed from the environment.
REMOVED = "kvitto.removed"
# How to fix what a server cannot do now, by the error's reason.
_HINTS = {
    "postgres-unavailable": "Start Postgres{up}, or correct DATABASE_URL",
    "postgres-read-only": "Name the primary in DATABASE_URL, or wait for the end of a fail-over",
    "postgres-misconfigured": "Run: kvitto check",
    "postgres-no-permission": "Name in DATABASE_URL a role that may; kvitto check names what this one lacks",
    "redis-unreachable": "Start Redis{up}, or correct REDIS_URL",
    "redis-refuses": "Correct REDIS_URL: user, password or database",
    "redis-not-primary": "Name the primary in REDIS_URL, or sentinels that know it",
    "postgres-locked": "End what holds it (pg_blocking_pids names it), then repeat the command",
    "redis-certificate-not-trusted": "Name its authority in CA_FILE, and in REDIS_URL the host that it is for",
    "redis-no-permission": "Grant it with ACL SETUSER; docs/operations.md lists what Kvitto needs",
    "redis-full": "Raise its maxmemory, or wait until workers have drained it",
    "redis-loading": "Wait until it has loaded its data",
}


class _Commands(click.Group):
    """Imports a command's module when the command is used: a process loads only what it needs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; print errors of settings, servers and this machine as sentences."""
        names_servers = bool(SERVERS & os.environ.keys())  # before the data folder's settings are added
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(f"{error}{'' if names_servers else _hint(ctx, error)}", err=True)
            ctx.exit(78)
        except StoreUnavailableError as error:
            hint = _HINTS.get(error.reason, "Try again").format(up="" if names_servers else " (kvitto up brings one)")
            raise click.ClickException(f"{error}. {hint}.") from error
        except (LocalError, AttemptLogWriteError) as error:
            raise click.ClickException(str(error)) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command; the error for an unknown one names similar commands."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click compares with the commands that are loaded, which may be none
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
        place, text = COMMANDS[cmd_name]
        command: click.Command = pkgutil.resolve_name(place)
        command.short_help = text
        return command


def _show_version(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo(f"kvitto {version('kvitto')} (commit {commit() or 'unknown'})")
        context.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".kvitto"),
    envvar="KVITTO_DATA",
    help="Data folder of `kvitto up`. Other commands use what runs there, unless the environment names servers.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and its commit.",
)
@click.pass_context
def kvitto(context: click.Context, data: Path) -> None:
    """Receive a lender's webhooks: every 200 is a receipt.

    \b
    Example:
      kvitto up
      kvitto sandbox send kompar --applications 20
      kvitto audit
    """
    context.meta[REMOVED] = context.obj or ()
    context.obj = DataFolder(data)
    command = context.invoked_subcommand
    if command not in (*_SERVING, "check"):  # check adopts by itself: its arguments decide what
        adopt(context.obj, apis=command == "subscriptions")


def _hint(context: click.Context, error: ConfigurationError) -> str:
    """Return where a command searched for the settings of a running Kvitto, if that may be why some are missing."""
    if context.invoked_subcommand in _SERVING or not isinstance(context.obj, DataFolder):
        return ""
    hint = ""
    if not context.obj.published():
        hint = f"\nNothing was served from {context.obj.folder} yet: run kvitto up, or name its folder with --data."
    misses_api = any(fault.message == "is not set" and fault.name not in SERVERS for fault in error.faults)
    if context.invoked_subcommand == "subscriptions" and misses_api and not context.obj.sandbox.published():
        hint += "\nOr start `kvitto sandbox serve` on this data folder: it plays the providers' APIs."
    return hint
