"""The command line: `kvitto …`, one module per group, each loaded when it is called for."""

import importlib
import os
from pathlib import Path

import click

from app.errors import Unavailable
from app.local.data import Data
from config.environment import Misconfigured

_COMMANDS = {
    "up": "app.cli.up:up",
    "demo": "app.cli.demo:demo",
    "ingest": "app.cli.processes:ingest",
    "worker": "app.cli.processes:worker",
    "beat": "app.cli.processes:beat",
    "console": "app.cli.processes:console",
    "migrate": "app.cli.migrate:migrate",
    "check": "app.cli.check:check",
    "health": "app.cli.health:health",
    "audit": "app.cli.audit:audit",
    "dead-letters": "app.cli.dead_letters:dead_letters",
    "explain": "app.cli.explain:explain",
    "reveal": "app.cli.reveal:reveal",
    "sandbox": "app.sandbox.commands:sandbox",
}
# These speak to what runs already, and find it in the data folder of `kvitto up`.
_CLIENTS = ("migrate", "check", "health", "audit", "dead-letters", "explain", "reveal", "sandbox")


class _Commands(click.Group):
    """Imports a command's module when the command is used: a process loads only what it needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
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
    context.obj = Data(data)
    if context.invoked_subcommand in _CLIENTS and "DATABASE_URL" not in os.environ:
        published = context.obj.published()
        # A mix of two environments would be neither's.
        if context.invoked_subcommand != "check" or not published.keys() & os.environ.keys():
            os.environ.update({name: value for name, value in published.items() if name not in os.environ})


def main() -> None:
    """Run a command; a wrong configuration is told in plain words."""
    try:
        kvitto()
    except Misconfigured as error:
        click.echo(str(error), err=True)
        raise SystemExit(78) from error
    except Unavailable as error:
        click.echo(f"Error: a server cannot do its part now: {error}", err=True)
        raise SystemExit(1) from error
