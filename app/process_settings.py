"""What each process imports and reads before it starts: modules, settings, and the secrets of its providers."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from app.domain.record_text import OPERATOR_LENGTH, record_problem
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
    registry.check_limits(settings.retention, environment)
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
    operator = environment.text("KVITTO_OPERATOR", "")
    if operator and (problem := record_problem(operator, OPERATOR_LENGTH)):
        environment.fault("KVITTO_OPERATOR", problem, f"Give a name of at most {OPERATOR_LENGTH} letters")
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

# Modules by process, each with all that it imports in turn. Modules that build an application when they are imported
# (`app.console.wsgi`) are replaced by the modules that they import. Every broker that a setting may name is a Redis.
_BROKER = (
    "redis",
    "kombu.transport.redis",  # kombu goes on without redis, and fails at the first connection
    "app.inbox.broker_transport",
)
_COMMAND = (
    "app.cli.__main__", "app.cli.main", "app.cli.serve", "app.local.ports", "app.cli.metrics_server", "config.logging",
)  # fmt: skip
_GRANIAN = (*_COMMAND, "app.cli.http_server", "app.preflight.startup")
_CELERY = (*_COMMAND, "workers.celery", "celery.backends.base", *_BROKER)
_HTTPX = ("httpx", "httpcore", "h11", "certifi")  # httpx imports the others when a client is made
MODULES: Mapping[str, tuple[str, ...]] = {
    "ingest": (*_GRANIAN, "app.ingest.rsgi", *_BROKER),
    "worker": (
        *_CELERY, "app.cli.shared_options", "workers.tasks", "workers.lifecycle", "workers.fallback_sweep",
        "celery.apps.worker",
        "celery.concurrency.prefork", "celery.worker.components", "celery.worker.consumer",
        "pycparser",  # billiard has cffi load it when it forks
    ),
    "beat": (*_CELERY, "celery.apps.beat", "workers.beat", *_HTTPX),
    "console": (*_GRANIAN, "app.console.app", "app.console.problem_watch"),
    "migrate": ("app.cli.migrate",),
    "subscriptions": ("app.cli.subscriptions", *_HTTPX),
    "check": ("app.preflight.report",),  # which asks the servers of the others
}  # fmt: skip
# Modules by process, in each folder of a provider that the process serves.
PROVIDER_MODULES: Mapping[str, str] = {"ingest": "authentication", "worker": "events", "subscriptions": "subscriptions"}
