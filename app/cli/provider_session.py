"""What commands that ask a provider's API have in common: its settings, progress, failures told with their mend."""

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
from rich.status import Status

from app.cli.local_settings import switched_off
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
    """Return the name of a provider that has a folder; to be an argument's callback."""
    if registry.is_known(name):
        return name
    raise click.BadParameter(f"{name!r} has no folder in app/providers; name one of {', '.join(registry.known())}")


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """A provider that is asked about one topic; while `status` runs, what is printed goes where that is shown."""

    provider: str
    topic: str
    api: SubscriptionApi
    connection: Connection
    public_url: str
    path: str
    status: Status

    @property
    def subscriber(self) -> SubscriptionService:
        """What has it deliver."""
        return SubscriptionService(self.connection, self.provider, self.api, getpass.getuser())

    def address(self, url: str | None, any_path: bool = False) -> str:
        """Return where the topic is to be delivered: `url`, or what PUBLIC_URL and the edge's path make.

        Refused is what the provider cannot reach, and a path that is not the edge's for the topic, but for `any_path`.
        """
        if url is None and not self.public_url:
            mend = "--url, or PUBLIC_URL for all (on this machine: kvitto up --https)"
            raise click.UsageError(f"say where it is to be delivered: {mend}")
        found = _https(url or self.public_url + self.path)
        self._judge(found, any_path)
        return found

    def _judge(self, found: str, any_path: bool) -> None:
        """Refuse an address at which nothing would arrive, or as something else."""
        if not any_path and not urlsplit(found).path.removesuffix("/").endswith(self.path):
            told = f"deliveries of {self.topic} belong at {self.path}; --any-path if a proxy rewrites it"
            raise click.BadParameter(told, param_hint="--url")
        if self.api.genuine and is_loopback(found):
            mend = "name a public one, or start `kvitto sandbox serve` to try it here"
            told = f"{self.api.url} cannot deliver to {found}, an address of this machine alone"
            raise click.UsageError(f"{told}: {mend}")


@contextmanager
def asking(provider: str, topic: str, doing: str) -> Iterator[ProviderSession]:
    """Ask a provider about a topic in a block; show `doing` on a terminal meanwhile, and tell what fails with its mend.

    Settings and the topic are checked before anything is sent.
    """
    screen = console(stderr=True)
    environment = Environment.of_process()
    settings = SubscriptionSettings.read(environment)
    api = registry.load_subscriptions(provider, environment, lambda text: screen.print(text, style="yellow"))
    if api is None:
        raise click.ClickException(f"{provider} has no API for subscriptions: agree with it where it delivers")
    tell_switched_off(api)
    environment.check()
    with closing(api), _told(), screen.status(doing) as status:
        path = api.path(topic)
        with session(settings.database_url, "subscriptions") as connection:
            yield ProviderSession(provider, topic, api, connection, settings.public_url, path, status)


def tell_switched_off(api: SubscriptionApi) -> None:
    """Say which API is asked, and why, where a sandbox serves the data folder and is not asked."""
    data = click.get_current_context().find_object(DataFolder)
    if data and api.url and (why := switched_off(data, api.url)):
        click.echo(f"asking {api.url}: {why}", err=True)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except UnknownTopicError as error:
        raise click.BadParameter(str(error), param_hint="TOPIC") from error
    except (AmbiguousSubscriptionError, ProviderCallError, TriggerUnsupportedError) as error:
        raise click.ClickException(str(error)) from error


def _https(url: str) -> str:
    """Return the URL that a provider is given; one that none would take is refused."""
    if problem := address_problem(url):
        raise click.BadParameter(f"it {problem}; write it like https://host/path", param_hint="--url")
    return url
