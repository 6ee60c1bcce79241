"""`kvitto health`: does a process do its work? For the health checks of containers.

Each check reads only the settings of its process. Imports are few, since a container checks its health all the time.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from http.client import HTTPException
from typing import NoReturn, TypeVar

import click

from app.cli.shared_options import json_option, require_served
from app.domain import canary
from app.domain.canary import Heartbeat
from app.domain.clocks import TOLERATED_SECONDS
from app.errors import StoreUnavailableError
from app.tls import own_address, own_server_answer, own_server_status
from config.environment import ConfigurationError, Environment, load
from config.settings import AuditSettings, BeatSettings, console_bind, ingest_bind, ingest_certificate

T = TypeVar("T")
_ready = click.option("--ready", is_flag=True, help="Ask for /readyz instead.")
_limit = click.option("--limit", type=float, default=60, help="Unhealthy if a canary is later than these seconds.")


@click.group(epilog="Example: kvitto health worker --provider kompar")
def health() -> None:
    """Check whether a process does its work, in one line. Exit 1 if it should be restarted.

    Only the settings of that process are read. A server that cannot be reached is reported, and is no reason to
    restart.
    """


@health.command(epilog="Example: kvitto health worker --provider kompar --limit 60")
@click.option("--provider", "names", multiple=True, help="Whose worker; repeatable. Default: all in PROVIDERS.")
@_limit
@json_option
def worker(names: tuple[str, ...], limit: float, as_json: bool) -> None:
    """Check for canaries that wait although a worker should have consumed them."""
    settings = _settings(AuditSettings.read, as_json)
    require_served(names, settings.providers)
    try:
        waits, notes = _observe(settings, names or settings.providers)
    except StoreUnavailableError as error:
        _report(True, f"a server cannot be reached ({error}), which a restart does not fix", as_json)
    for seconds, provider in sorted(waits, reverse=True):
        if seconds > limit:
            found = f"a canary of {provider} has been waiting for {seconds:.0f} s"
            _report(False, "; ".join([found, *notes]), as_json)
        if seconds < -TOLERATED_SECONDS:
            found = f"a canary of {provider} waits that was received {-seconds:.0f} s in the future"
            _report(False, "; ".join([f"{found}: was the clock of Postgres set back?", *notes]), as_json)
    # A missing canary is no sign of a sick worker.
    _report(True, "; ".join(["no canary has been waiting for long", *notes]), as_json)


def _settings(read: Callable[[Environment], T], as_json: bool) -> T:
    """Read settings. A secret file that became invalid is reported: the process keeps what it has read before."""
    try:
        return load(read)
    except ConfigurationError as error:
        names = {fault.name.removesuffix("_FILE") for fault in error.faults}
        if not all(f"{name}_FILE" in os.environ for name in names):
            raise
        faults = "; ".join(map(str, error.faults))
        _report(True, f"not checked, and a restart would fail, because a secret file is invalid: {faults}", as_json)


def _observe(settings: AuditSettings, providers: Sequence[str]) -> tuple[list[tuple[float, str]], list[str]]:
    """Return how long canaries wait in each store, and a sentence for each problem that no restart would fix.

    Waits are in seconds by the clock of Postgres, with their providers; negative for a time of receipt in the future.
    """
    # The health check of a server needs neither Redis nor Postgres, and runs every few seconds.
    from app.audit.problems import clock_problems, fallback_problems, loss_problems, silence_problems  # noqa: PLC0415
    from app.inbox import client  # noqa: PLC0415
    from app.inbox.stream import Inbox  # noqa: PLC0415
    from app.storage import fallbacks, reports  # noqa: PLC0415
    from app.storage.connection import connect, translate_errors  # noqa: PLC0415
    from app.storage.overflow import Overflow  # noqa: PLC0415

    with (
        closing(client.connect(settings.redis)) as redis,
        translate_errors(),
        connect(settings.database_url, "health") as connection,
    ):
        waits = []
        for provider in providers:
            name = canary.inbox_name(provider)
            overflow = Overflow(lambda: nullcontext(connection), name)
            oldest = Inbox(redis, name).backlog().oldest_at, overflow.waiting().oldest_at
            now = reports.clock(connection)
            waits += [((now - oldest_at).total_seconds(), provider) for oldest_at in oldest if oldest_at]
        lasting = [each for each in fallbacks.current(connection) if each.process == "worker"]
        notes = [
            *loss_problems(reports.audits(connection)),
            *clock_problems(reports.freshness(connection)),
            *silence_problems(reports.silence(connection)),
            *fallback_problems([each for each in lasting if each.provider in providers]),
        ]
    return waits, list(map(str, notes))


@health.command(epilog="Example: kvitto health beat")
@_limit
@json_option
def beat(limit: float, as_json: bool) -> None:
    """Check whether canaries are sent, if there are to be any."""
    settings = _settings(BeatSettings.read, as_json)
    if not settings.canary_secret:
        _report(True, "no canaries are to be sent (CANARY_SECRET is not set)", as_json)
    age = Heartbeat(settings.ingest_url).age_seconds()
    if age is None:
        _report(False, "no canary was ever sent from this machine", as_json)
    if age < -TOLERATED_SECONDS:
        _report(False, f"canaries were last sent {-age:.0f} s in the future: was the clock set back?", as_json)
    _report(age <= limit, f"canaries were last sent {age:.0f} s ago", as_json)


@health.command(epilog="Example: kvitto health ingest --ready")
@_ready
@json_option
def ingest(as_json: bool, ready: bool) -> None:
    """Ask for /livez at INGEST_BIND, by HTTPS if INGEST_TLS_CERT is set; say what /readyz reports."""
    bind, certificate = load(lambda environment: (ingest_bind(environment), ingest_certificate(environment)))
    _check_server(bind, certificate is not None, ready, as_json, detailed=True)


@health.command(epilog="Example: kvitto health console --json")
@_ready
@json_option
def console(as_json: bool, ready: bool) -> None:
    """Ask for /livez at CONSOLE_BIND."""
    _check_server(load(console_bind), False, ready, as_json)


def _check_server(
    bind: tuple[str, int], https: bool, ready: bool, as_json: bool, *, detailed: bool = False
) -> NoReturn:
    """Report an HTTP server on this machine: unhealthy unless it answers 200 to /livez or /readyz.

    `detailed`: report the problems that /readyz lists, too.
    """
    server = own_address(bind)
    try:
        url = f"{'https' if https else 'http'}://{server}"
        status = own_server_status(f"{url}/{'readyz' if ready else 'livez'}")
        details = own_server_answer(f"{url}/readyz")[1] if detailed else b""
    except (OSError, HTTPException) as error:
        _report(False, f"{server} does not answer ({type(error).__name__})", as_json)
    _report(status == 200, "; ".join([f"{server} answers {status}", *_problems(details)]), as_json)


def _problems(details: bytes) -> list[str]:
    """Return the problems that an answer of /readyz lists."""
    with suppress(ValueError):
        return list(json.loads(details).get("problems", []))
    return []


def _report(healthy: bool, words: str, as_json: bool) -> NoReturn:
    """Print the result, and exit with 1 unless it is healthy."""
    if as_json:
        click.echo(json.dumps({"healthy": healthy, "words": words}))
    else:
        word = click.style("healthy", fg="green") if healthy else click.style("unhealthy", fg="red")
        click.echo(f"{word}: {words}")
    raise SystemExit(0 if healthy else 1)
