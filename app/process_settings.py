"""The settings that each process reads before it starts, with the secrets of the providers that it serves."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from app.providers import registry
from config.environment import Environment
from config.settings import (
    BeatSettings,
    ConsoleSettings,
    IngestSettings,
    MigrateSettings,
    SubscriptionSettings,
    WorkerSettings,
)


def read_ingest(environment: Environment) -> IngestSettings:
    """Read the settings of ingest; `environment` collects the faults."""
    settings = IngestSettings.read(environment)
    for name in settings.providers:
        registry.load_authentication(name, environment)
    return settings


def read_worker(environment: Environment, names: Collection[str] = ()) -> WorkerSettings:
    """Read the settings of a worker of these providers, by default of all; `environment` collects the faults."""
    settings = WorkerSettings.read(environment)
    for name in names or settings.providers:
        registry.load(name, environment)
    return settings


def read_beat(environment: Environment) -> BeatSettings:
    """Read the settings of beat; `environment` collects the faults."""
    settings = BeatSettings.read(environment)
    registry.check_names(settings.providers, environment)
    return settings


def read_subscriptions(environment: Environment) -> SubscriptionSettings:
    """Read the settings of `kvitto subscriptions`; `environment` collects the faults."""
    settings = SubscriptionSettings.read(environment)
    registry.check_names(settings.providers, environment)
    for name in settings.providers:
        registry.load_subscriptions(name, environment, lambda _text: None)
    return settings


PROCESSES: dict[str, Callable[[Environment], Any]] = {
    "ingest": read_ingest,
    "worker": read_worker,
    "beat": read_beat,
    "console": ConsoleSettings.read,
    "migrate": MigrateSettings.read,
}
# With the commands that have settings of their own, which a deployment may do without.
READERS: Mapping[str, Callable[[Environment], Any]] = PROCESSES | {"subscriptions": read_subscriptions}
