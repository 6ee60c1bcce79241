"""What commands that call a provider's API share: settings, connections, progress, secrets, and errors as messages."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.status import Status

from app.cli.local_settings import sandbox_disabled_reason
from app.cli.output import console
from app.errors import ProviderCallError
from app.local.data_folder import DataFolder
from app.providers import registry
from app.providers.base import ProviderSubscription, SubscriptionApi, TriggerUnsupportedError, UnknownTopicError
from app.storage.connection import Connection, session
from app.subscriptions.secret_file import SecretFile
from app.subscriptions.service import AmbiguousSubscriptionError, SubscriptionService
from config.environment import Environment
from config.settings import SubscriptionSettings
from config.web_address import address_problem, is_loopback


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """A provider's API and the ledger, for one topic. `status` is the progress display while the session is open."""

    provider: str
    topic: str
    api: SubscriptionApi
    connection: Connection
    public_url: str
    path: str
    status: Status

    def service(self, operator: str) -> SubscriptionService:
        """Return what registers and removes subscriptions on behalf of an operator."""
        return SubscriptionService(self.connection, self.provider, self.api, operator)

    def delivery_url(self, url: str | None, allow_any_path: bool) -> str:
        """Return the address to register: `url`, or PUBLIC_URL and the path of ingest.

        Reject one that the provider cannot deliver to, and one with another path unless `allow_any_path`.
        """
        if url is None and not self.public_url:
            hint = "--url, or PUBLIC_URL for all (on this machine: kvitto up --https)"
            raise click.UsageError(f"give the address to deliver to: {hint}")
        address = url or self.public_url + self.path
        if problem := address_problem(address):
            raise click.BadParameter(f"it {problem}; write it like https://host/path", param_hint="--url")
        if not allow_any_path and not urlsplit(address).path.removesuffix("/").endswith(self.path):
            message = f"deliveries of {self.topic} belong at {self.path}; --allow-any-path if a proxy rewrites it"
            raise click.BadParameter(message, param_hint="--url")
        if self.api.genuine and is_loopback(address):
            hint = "name a public one, or start `kvitto sandbox serve` to try it here"
            message = f"{self.api.url} cannot deliver to {address}, an address of this machine alone"
            raise click.UsageError(f"{message}: {hint}")
        return address

    def secret_saver(self, print_secret: bool) -> Callable[[ProviderSubscription], None]:
        """Return a function that saves a subscription's secret, which a provider shows once, and never fails.

        It goes to the file that SETTING_FILE names, or to the terminal if there is no such file that can be written.
        If there is neither, the command ends here, unless `print_secret` is on.
        """
        setting = self.api.secrets
        path = os.environ.get(f"{setting}_FILE", "").strip() if setting else ""
        file = SecretFile(Path(path)) if path else None
        problem = file.problem() if file else f"{setting}_FILE is not set"
        if setting and problem and not (print_secret or sys.stdout.isatty()):
            hint = f"Set {setting}_FILE to a writable file, or print the secret with --print-secret"
            raise click.ClickException(f"its secret, shown once, has no file to go to: {problem}. {hint}.")

        def save(subscription: ProviderSubscription) -> None:
            topic, secret = subscription.topic, subscription.secret
            if secret is None:
                return
            self.status.stop()  # it would overwrite what is printed
            if file and not problem:
                try:
                    file.add(topic, secret)
                except (OSError, ValueError) as error:
                    reason = f"{file.path} could not be changed ({type(error).__name__})"
                    click.echo(f"{reason}: keep the secret below", err=True)
                else:
                    click.echo(f"its secret was added to {file.path}")
                    return
            click.echo(f"its secret, shown this once; add to {setting}:\n{topic}={secret}")

        return save


@contextmanager
def open_session(provider: str, topic: str, activity: str) -> Iterator[ProviderSession]:
    """Open a provider's API and the ledger for a block; show `activity` on a terminal and report errors as messages.

    Settings and the topic are checked before the first call.
    """
    terminal = console(stderr=True)
    environment = Environment.of_process()
    settings = SubscriptionSettings.read(environment)
    api = registry.load_subscriptions(provider, environment, lambda text: terminal.print(text, style="yellow"))
    if api is None:
        raise click.ClickException(f"{provider} has no API for subscriptions: agree with it where it delivers")
    report_disabled_sandbox(api)
    environment.check()
    try:
        with closing(api), terminal.status(activity) as status:
            path = api.path(topic)
            with session(settings.database_url, "subscriptions") as connection:
                yield ProviderSession(provider, topic, api, connection, settings.public_url, path, status)
    except UnknownTopicError as error:
        raise click.BadParameter(str(error), param_hint="TOPIC") from error
    except (AmbiguousSubscriptionError, ProviderCallError, TriggerUnsupportedError) as error:
        raise click.ClickException(str(error)) from error


def report_disabled_sandbox(api: SubscriptionApi) -> None:
    """Print which API is called, and why, if a running sandbox of the data folder is not used."""
    data = click.get_current_context().find_object(DataFolder)
    if data and api.url and (reason := sandbox_disabled_reason(data, api.url)):
        click.echo(f"calling {api.url}: {reason}", err=True)
