"""`kvitto health`: does a process do its work? For the health checks of containers."""

import dataclasses
import json

import click

from app.health import process as process_health
from app.health.process import Health
from config.environment import Environment
from config.settings import AuditSettings, BeatSettings, console_bind, ingest_bind, ingest_certificate

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ready = click.option("--ready", "path", flag_value="/readyz", default="/livez", help="Ask for /readyz instead.")
_limit = click.option(
    "--limit", type=float, default=60, show_default=True, help="Unhealthy if a canary is later than these seconds."
)


@click.group(
    short_help="Check whether a process does its work.", epilog="Example: kvitto health worker --provider kompar"
)
def health() -> None:
    """Check whether a process does its work, in one line. Exit 1 if it should be restarted.

    Only the settings of that process are read. A server that cannot be reached is reported, and is no reason to
    restart.
    """


@health.command(epilog="Example: kvitto health worker --provider kompar --limit 60")
@click.option("--provider", "names", multiple=True, help="Whose worker; repeatable. Default: all in PROVIDERS.")
@_limit
@_json
def worker(names: tuple[str, ...], limit: float, as_json: bool) -> None:
    """Check for canaries that wait although a worker should have consumed them."""
    settings = AuditSettings.load()
    if unknown := set(names) - set(settings.providers):
        known = ",".join(settings.providers)
        raise click.BadParameter(f"{', '.join(sorted(unknown))} not in PROVIDERS ({known})", param_hint="--provider")
    _report(process_health.check_worker(settings, names or settings.providers, limit), as_json)


@health.command(epilog="Example: kvitto health beat")
@_limit
@_json
def beat(limit: float, as_json: bool) -> None:
    """Check whether canaries are sent, if there are to be any."""
    _report(process_health.check_beat(BeatSettings.load(), limit), as_json)


@health.command(epilog="Example: kvitto health ingest --ready")
@_ready
@_json
def ingest(as_json: bool, path: str) -> None:
    """Ask for /livez at INGEST_BIND, by HTTPS if INGEST_TLS_CERT is set."""
    environment = Environment.of_process()
    bind, https = ingest_bind(environment), ingest_certificate(environment) is not None
    environment.check()
    _report(process_health.check_server(bind, https, path), as_json)


@health.command(epilog="Example: kvitto health console --json")
@_ready
@_json
def console(as_json: bool, path: str) -> None:
    """Ask for /livez at CONSOLE_BIND."""
    environment = Environment.of_process()
    bind = console_bind(environment)
    environment.check()
    _report(process_health.check_server(bind, path=path), as_json)


def _report(result: Health, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(result)))
    else:
        word = click.style("healthy", fg="green") if result.healthy else click.style("unhealthy", fg="red")
        click.echo(f"{word}: {result.words}")
    raise SystemExit(0 if result.healthy else 1)
