"""What commands that call a provider's API share: settings, connections, progress, and errors as messages."""

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
from rich.status import Status

from app.cli.local_settings import sandbox_disabled_reason
from app.cli.output import console
from app.domain.web_address import address_problem, is_loopback
from app.errors import ProviderCallError
from app.local.data_folder import DataFolder
from app.providers import registry
from app.providers.base import SubscriptionApi, TriggerUnsupportedError, UnknownTopicError
from app.storage.connection import Connection, session
from app.subscriptions.service import AmbiguousSubscriptionError, SubscriptionService
from config.environment import Environment
from config.settings import SubscriptionSettings


def known_provider(_context: click.Context, _argument: click.Parameter, name: str) -> str:
    """Return the name if the provider has a folder; the callback of an argument."""
    if registry.is_known(name):
        return name
    raise click.BadParameter(f"{name!r} has no folder in app/providers; name one of {', '.join(registry.known())}")


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

    @property
    def service(self) -> SubscriptionService:
        """The service that registers and removes subscriptions for this operator."""
        return SubscriptionService(self.connection, self.provider, self.api, getpass.getuser())

    def delivery_url(self, url: str | None, allow_any_path: bool = False) -> str:
        """Return the address to register: `url`, or PUBLIC_URL and the path of ingest.

        Raises:
            click.UsageError: The provider cannot deliver to the address, or its path is not ingest's path for the
                topic and `allow_any_path` is off.
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
