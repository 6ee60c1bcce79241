"""`kvitto ingest|worker|beat|console`: one process each, which serves until it is stopped.

Each command imports the modules that its process needs once, before it forks: forks share them.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click

import config.logging
from config.environment import Environment, load

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from config.settings import Certificate

_number = click.IntRange(min=1)


@click.command(epilog="Example: INGEST_BIND=0.0.0.0:8080 kvitto ingest")
@click.option("--processes", type=_number, default=1, help="Processes that share the port.")
def ingest(processes: int) -> None:
    """Serve the webhooks: authenticate, seal, append to Redis, answer 200."""
    from app.cli.http_server import limit_memory, serve_edge

    limit_memory()  # before there is a thread, which would have an arena
    from app.local.ports import hold
    from app.preflight.startup import require_fit_servers
    from app.process_settings import read_ingest

    config.logging.configure()
    settings = load(read_ingest)
    require_fit_servers("ingest", settings)
    with hold("INGEST_BIND", settings.ingest_bind, "serves"):
        importlib.import_module("app.ingest.rsgi")
        _serve_metrics(settings.metrics_bind, *_certificate_expiry(settings.certificate))
        serve_edge(settings.ingest_bind, processes, settings.drain_seconds, settings.certificate)


def _serve_metrics(bind: tuple[str, int] | None, *collectors: "Collector") -> None:
    """Serve the metrics of this process and of its later forks, if METRICS_BIND names an address."""
    if bind is None:
        return
    import config.logging
    from app import metrics
    from app.cli import metrics_server
    from app.local.ports import obstacle

    config.logging.configure()
    metrics.begin_sharing()
    obstacle(*bind)  # waits while a process that is being stopped keeps the address
    metrics_server.serve(bind, *collectors)


def _certificate_expiry(certificate: "Certificate | None") -> "Iterator[Collector]":
    """Yield the metric of when the certificate expires that ingest serves until its restart."""
    if certificate:
        from app import metrics
        from app.tls import expires_at

        metrics.CERTIFICATE_EXPIRY.set(expires_at(certificate[0]).timestamp())
        yield metrics.CERTIFICATE_EXPIRY


@click.command(epilog="Example: kvitto worker --provider kompar --concurrency 4")
@click.option("--provider", "names", multiple=True, help="Whose inbox to drain; repeatable. Default: all in PROVIDERS.")
@click.option("--concurrency", type=_number, default=2, help="Processes that work in parallel.")
def worker(names: tuple[str, ...], concurrency: int) -> None:
    """Drain inboxes: open, validate, store, acknowledge."""
    from app.cli.shared_options import require_served
    from app.process_settings import read_worker
    from config.settings import provider_names

    known = provider_names(Environment.of_process())
    require_served(names, known)
    settings = load(partial(read_worker, names=names))
    queues = names or known
    os.environ["PROVIDERS"] = ",".join(queues)  # its children read the keys of these providers only
    _serve_metrics(settings.metrics_bind)
    sys.exit(importlib.import_module("workers.celery").run_worker(queues, concurrency))


@click.command(epilog="Example: kvitto beat")
def beat() -> None:
    """Schedule a sweep and an audit of every inbox, and send canaries; run exactly one."""
    from app.process_settings import read_beat

    settings = load(read_beat)
    from app import metrics

    metrics.beat_series(settings.providers)
    _serve_metrics(settings.metrics_bind, metrics.CANARIES_SENT, metrics.SECRETS_REJECTED)
    importlib.import_module("workers.celery").run_beat()


@click.command(epilog="Example: CONSOLE_BIND=127.0.0.1:8081 kvitto console")
def console() -> None:
    """Serve the operators' page, health and metrics, on a private port."""
    from app.cli.http_server import serve_wsgi
    from app.local.ports import hold
    from app.preflight.startup import require_fit_servers
    from config.settings import ConsoleSettings

    config.logging.configure()
    settings = ConsoleSettings.load()
    require_fit_servers("console", settings)
    with hold("CONSOLE_BIND", settings.console_bind, "serves"):
        importlib.import_module("app.console.app")
        collectors = importlib.import_module("app.console.metrics").collectors(settings)
        _serve_metrics(settings.metrics_bind, *collectors)
        serve_wsgi("kvitto console", "app.console.wsgi:app", settings.console_bind, threads=4)
