"""Where the secret of a subscription goes, which a provider shows once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from app.providers.base import ProviderSubscription
from app.subscriptions.secret_file import SecretFile

RESTART = "restart the ingest processes, one after the other (under `kvitto up`: Ctrl-C, and up again)"


class SecretOutput:
    """The file that `setting` names (its NAME_FILE); without one that can be written, the terminal.

    `quieten` ends what is shown of progress, which would take along what is printed.
    """

    def __init__(self, setting: str | None, print_secret: bool, quieten: Callable[[], None]) -> None:
        self.used = False
        self._setting = setting
        self._quieten = quieten
        self._file = _file_of(setting)
        if setting is None:
            return
        obstacle = self._file.problem() if self._file else f"{setting}_FILE names none"
        if obstacle and not (print_secret or sys.stdout.isatty()):
            mend = f"Set {setting}_FILE to a file that can be written, or have it printed with --print-secret"
            raise click.ClickException(f"its secret, shown once, has no file to go to: {obstacle}. {mend}.")
        if obstacle:
            self._file = None

    def keep(self, made: ProviderSubscription) -> None:
        """Put a secret where it belongs; never fails."""
        if made.secret is None:
            return
        self.used = True
        self._quieten()
        if self._file and self._added(self._file, made.topic, made.secret):
            click.echo(f"its secret was added to {self._file.path}")
        else:
            click.echo(f"its secret, shown this once; add to {self._setting}:\n{made.topic}={made.secret}")

    def _added(self, file: SecretFile, topic: str, secret: str) -> bool:
        try:
            file.add(topic, secret)
        except (OSError, ValueError) as error:
            click.echo(f"{file.path} could not take it in ({type(error).__name__}): keep what follows", err=True)
            return False
        return True


def _file_of(setting: str | None) -> SecretFile | None:
    path = os.environ.get(f"{setting}_FILE", "").strip() if setting else ""
    return SecretFile(Path(path)) if path else None
