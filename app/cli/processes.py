"""`kvitto ingest|worker|beat|console`: one process each, which becomes the server that it configures."""

import os
import sys
from typing import NoReturn

import click

from app import providers
from app.errors import Unavailable
from app.inbox import server
from app.local.ports import refuse_taken
from app.processes import read_beat, read_ingest
from config.environment import Environment, Misconfigured
from config.granian import EDGE_MEMORY, EDGE_THREADS, server_arguments
from config.settings import ConsoleSettings, WorkerSettings


def _become(*arguments: str) -> NoReturn:
    """Replace this process, so that signals reach the server itself."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - no shell is wanted


@click.command(short_help="Serve the webhooks.", epilog="Example: INGEST_BIND=0.0.0.0:8080 kvitto ingest")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=EDGE_THREADS,
    show_default=True,
    help="Requests in progress at once, each.",
)
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share the port."
)
def ingest(threads: int, processes: int) -> None:
    """Serve the webhooks: authenticate, seal, append to Redis, answer 200."""
    environment = Environment.of_process()
    settings = read_ingest(environment)
    environment.check()
    _refuse_unfit(settings.redis_url, settings.loss_accepted)
    refuse_taken("INGEST_BIND", settings.bind)
    for name, value in EDGE_MEMORY.items():
        os.environ.setdefault(name, value)
    arguments = server_arguments(settings.bind, threads, settings.certificate, processes)
    _become("app.local.granian", *arguments, "app.ingest.wsgi:app")


def _refuse_unfit(redis_url: str, loss_accepted: bool) -> None:
    try:
        faults = server.start_faults(server.connect(redis_url), loss_accepted)
    except Unavailable as error:
        click.echo(f"redis: {error}; starting all the same, /readyz tells when it is there", err=True)
        return
    if faults:
        raise Misconfigured(faults)


@click.command(epilog="Example: kvitto worker --provider kompar --concurrency 4")
@click.option("--provider", "names", multiple=True, help="Whose inbox to drain; repeatable. Default: all in PROVIDERS.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Processes that open and validate in parallel.",
)
def worker(names: tuple[str, ...], concurrency: int) -> None:
    """Drain inboxes: open, validate, store, acknowledge."""
    environment = Environment.of_process()
    known = WorkerSettings.read(environment).providers
    if unknown := set(names) - set(known):
        raise click.BadParameter(
            f"{', '.join(sorted(unknown))} not in PROVIDERS ({','.join(known)})", param_hint="--provider"
        )
    queues = names or known
    for name in queues:
        providers.load(name, environment)
    environment.check()
    os.environ["PROVIDERS"] = ",".join(queues)  # it needs the keys of those it serves, and no others
    _become(
        "celery", "-A", "workers.celery", "worker", "--pool", "prefork", "-O", "fair",
        "--queues", ",".join(queues), "--hostname", f"{'+'.join(queues)}@%h", "--concurrency", str(concurrency),
        "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat",
    )  # fmt: skip


@click.command(short_help="Have every inbox swept.", epilog="Example: kvitto beat")
def beat() -> None:
    """Have every inbox swept, and a canary sent to it, every few seconds; run one of these."""
    environment = Environment.of_process()
    read_beat(environment)
    environment.check()
    _become("celery", "-A", "workers.beat", "beat", "--loglevel", "WARNING", "--pidfile", "")


@click.command(
    short_help="Serve operators' page, health and metrics.",
    epilog="Example: CONSOLE_BIND=127.0.0.1:8081 kvitto console",
)
def console() -> None:
    """Serve operators' pages, health and metrics, on a private port."""
    settings = ConsoleSettings.load()
    refuse_taken("CONSOLE_BIND", settings.bind)
    _become("app.local.granian", *server_arguments(settings.bind, 4), "app.console.wsgi:app")
