"""`kvitto ingest|worker|beat|console`: one process each, which serves until it is stopped.

Each command imports the modules that its process needs once, before it forks: forks share them.
"""

import importlib
import os
import sys
from contextlib import closing

import click

from config.granian import EDGE_MEMORY, EDGE_THREADS


@click.command(short_help="Serve the webhooks.", epilog="Example: INGEST_BIND=0.0.0.0:8080 kvitto ingest")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=EDGE_THREADS,
    show_default=True,
    help="Concurrent requests per process.",
)
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the port."
)
def ingest(threads: int, processes: int) -> None:
    """Serve the webhooks: authenticate, seal, append to Redis, answer 200."""
    if unset := EDGE_MEMORY.keys() - os.environ.keys():  # the C library reads them when a program starts
        os.environ |= {name: EDGE_MEMORY[name] for name in unset}
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
    from app.local.ports import hold
    from app.process_settings import read_ingest
    from app.wsgi_server import serve
    from config.environment import Environment

    environment = Environment.of_process()
    settings = read_ingest(environment)
    environment.check()
    _require_fit_redis(settings.redis_url, "redis" in settings.allow_non_durable)
    with hold("INGEST_BIND", settings.ingest_bind, "serves"):
        importlib.import_module("app.ingest.app")
        serve("app.ingest.wsgi:app", settings.ingest_bind, threads, settings.certificate, processes)


def _require_fit_redis(redis_url: str, allow_non_durable: bool) -> None:
    """Raise ConfigurationError if Redis could lose a confirmed append; one that is down does not stop the start."""
    from app.errors import StoreUnavailableError
    from app.inbox import client
    from config.environment import ConfigurationError

    try:
        with closing(client.connect(redis_url)) as redis:
            errors = client.startup_errors(redis, allow_non_durable)
    except StoreUnavailableError as error:
        click.echo(f"redis: {error}; starting without it, /readyz shows when it is there", err=True)
        return
    if errors:
        raise ConfigurationError(errors)


@click.command(
    short_help="Process the deliveries in the inboxes.",
    epilog="Example: kvitto worker --provider kompar --concurrency 4",
)
@click.option("--provider", "names", multiple=True, help="Whose inbox to drain; repeatable. Default: all in PROVIDERS.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that work in parallel."
)
def worker(names: tuple[str, ...], concurrency: int) -> None:
    """Drain inboxes: open, validate, store, acknowledge."""
    from app.providers import registry
    from config.environment import Environment
    from config.settings import WorkerSettings

    environment = Environment.of_process()
    known = WorkerSettings.read(environment).providers
    if unknown := set(names) - set(known):
        message = f"{', '.join(sorted(unknown))} not in PROVIDERS ({','.join(known)})"
        raise click.BadParameter(message, param_hint="--provider")
    queues = names or known
    for name in queues:
        registry.load(name, environment)
    environment.check()
    os.environ["PROVIDERS"] = ",".join(queues)  # its children read the keys of these providers only
    sys.exit(importlib.import_module("workers.start").worker(queues, concurrency))


@click.command(short_help="Schedule sweeps, audits and canaries.", epilog="Example: kvitto beat")
def beat() -> None:
    """Schedule a sweep and an audit of every inbox, and send canaries; run exactly one."""
    from app.process_settings import read_beat
    from config.environment import Environment

    environment = Environment.of_process()
    read_beat(environment)
    environment.check()
    importlib.import_module("workers.start").beat()


@click.command(
    short_help="Serve the operators' page, health and metrics.",
    epilog="Example: CONSOLE_BIND=127.0.0.1:8081 kvitto console",
)
def console() -> None:
    """Serve the operators' page, health and metrics, on a private port."""
    from app.local.ports import hold
    from app.wsgi_server import serve
    from config.settings import ConsoleSettings

    settings = ConsoleSettings.load()
    with hold("CONSOLE_BIND", settings.console_bind, "serves"):
        importlib.import_module("app.console.app")
        serve("app.console.wsgi:app", settings.console_bind, threads=4)
