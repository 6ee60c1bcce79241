"""Where a subscription's secret goes: a provider shows it once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from app.providers.base import ProviderSubscription
from app.subscriptions.secret_file import SecretFile

RESTART = "restart the ingest processes, one after the other (under `kvitto up`: Ctrl-C, then up again)"


class SecretOutput:
    """The file that SETTING_FILE names, or the terminal if there is no such file that can be written.

    `stop_progress` ends the progress display, which would otherwise overwrite what is printed.

    Raises:
        click.ClickException: There is neither a file nor a terminal, and `print_secret` is off.
    """

    def __init__(self, setting: str | None, print_secret: bool, stop_progress: Callable[[], None]) -> None:
        self.used = False
        self._setting = setting
        self._stop_progress = stop_progress
        path = os.environ.get(f"{setting}_FILE", "").strip() if setting else ""
        self._file = SecretFile(Path(path)) if path else None
        problem = self._file.problem() if self._file else f"{setting}_FILE is not set"
        if setting and problem:
            self._file = None
            if not (print_secret or sys.stdout.isatty()):
                hint = f"Set {setting}_FILE to a writable file, or print the secret with --print-secret"
                raise click.ClickException(f"its secret, shown once, has no file to go to: {problem}. {hint}.")

    def save(self, subscription: ProviderSubscription) -> None:
        """Save a secret to the file, or print it; never fails."""
        topic, secret = subscription.topic, subscription.secret
        if secret is None:
            return
        self.used = True
        self._stop_progress()
        if self._file:
            try:
                self._file.add(topic, secret)
            except (OSError, ValueError) as error:
                reason = f"{self._file.path} could not be changed ({type(error).__name__})"
                click.echo(f"{reason}: keep the secret below", err=True)
            else:
                click.echo(f"its secret was added to {self._file.path}")
                return
        click.echo(f"its secret, shown this once; add to {self._setting}:\n{topic}={secret}")
