"""`kvitto sandbox serve`: the providers' APIs and their deliveries, until a signal."""

import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex, token_urlsafe
from threading import Thread
from typing import TYPE_CHECKING, Any

import click
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from app.audit.attempt_log import AttemptLog
from app.local import atomic_file
from app.local.certificates import LOOPBACK, Authority
from app.local.ports import obstacle
from app.sandbox import options
from app.sandbox.api.provider_api import SharedParts
from app.sandbox.api.sandbox_app import create_app
from app.sandbox.api.subscription_store import SubscriptionsFileError, SubscriptionStore
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Hook
from app.sandbox.sender import kompar_secrets, print_failure
from app.sandbox.solaris import SolarisHook
from config.environment import Environment

if TYPE_CHECKING:  # it imports the receiving side, which the sandbox must not
    from app.local.data_folder import DataFolder

# The settings of a client that subscribes; each is kept in a file of that name.
LOGINS = ("KOMPAR_API_USERNAME", "KOMPAR_API_PASSWORD", "SOLARIS_CLIENT_ID", "SOLARIS_CLIENT_SECRET")
# A sandbox that is just ending may hold the lock for a moment.
_LOCK_SECONDS = 2.0


@click.command(
    epilog="\b\nExample: kvitto sandbox serve --speed 60 --record tries.jsonl\n"
    "         curl --cacert .kvitto/sandbox/authority.pem https://127.0.0.1:8443/sandbox"
)
@click.option("--bind", default="127.0.0.1:8443", help="Address to serve on; port 0: any free port.")
@click.option("--speed", type=options.POSITIVE, default=1.0, help="How many times faster waits pass.")
@options.record
@click.option(
    "--lose-timers-every",
    type=options.RealRange(min=0, min_open=True, max=86_400),
    metavar="SECONDS",
    help="Forget waiting retries at this interval, as restarts do.",
)
@click.pass_obj
def serve(data: "DataFolder", bind: str, speed: float, record: Path | None, lose_timers_every: float | None) -> None:
    """Play Kompar's and Solaris' APIs over HTTPS, and deliver to the receivers that register there.

    \b
    /kompar        Kompar: GET /token, POST and DELETE /webhooks/applications, /webhooks/decisions
    /kompar/test   its test environment: the same, and GET /random/…, /flow/…; retries come after 1 s each
    /solaris       Solaris: POST /oauth2/token, POST, GET and DELETE /v1/webhooks
    /sandbox       GET: what is registered, what is pending, the faults
    \b
    Without a token, from this machine alone, with a JSON object as the body:
    POST /kompar/sandbox/send        {"topic": "applications", "count": 1, "fault": "duplicate"}
    POST /solaris/sandbox/send       {"event_type": "INCOMING_REJECTED_TRANSACTION", "count": 1}
    POST /kompar/sandbox/fail        {"calls": 1}: the API answers its next calls with 500; 0 ends that
    POST /sandbox/lose-timers        as a restart of the provider does

    The folder `sandbox` of the data folder keeps logins, the certificate authority and what is registered. Kompar's
    deliveries carry the receiver's token and key (KOMPAR_TOKENS, KOMPAR_KEYS). Every failed attempt is written to
    standard error.
    """
    address = _address(bind)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), data.sandbox.exclusive(_LOCK_SECONDS):
            _serve(data, address, speed, record, lose_timers_every)
    except SubscriptionsFileError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        hint = f"correct that, or name another data folder than {data.folder} with --data"
        raise click.ClickException(f"{error.filename} cannot be used ({error.strerror}): {hint}") from error


def _serve(
    data: "DataFolder", address: tuple[str, int], speed: float, record: Path | None, lose_timers_every: float | None
) -> None:
    """Serve until a signal, or until the attempt log cannot be written."""
    folder = data.folder / "sandbox"
    authority = Authority(data.folder)
    environment = Environment(os.environ | data.secret_files(("kompar",), os.environ))
    secrets = kompar_secrets(environment)
    environment.check()
    store = SubscriptionStore(folder / "subscriptions.json")
    trust, on_cancelled = authority.trust(), partial(remove_cancelled, store)
    with (
        closing(AttemptLog(record)) if record else nullcontext() as log,
        Dispatcher(
            log.add if log else None, speed, trust, on_cancelled=on_cancelled, on_failure=print_failure
        ) as dispatcher,
        _serving(
            create_app(SharedParts(store, dispatcher, *_logins(folder), secrets, trust)),
            address,
            authority.issue("sandbox", (*LOOPBACK, address[0])).context(),
        ) as port,
    ):
        url = f"https://{_local_name(address[0])}:{port}"
        # With these settings, `kvitto subscriptions` on the same data folder calls these APIs.
        apis = dict.fromkeys(("SOLARIS_API_URL", "SOLARIS_AUTH_URL"), f"{url}/solaris")
        apis["KOMPAR_API_URL"] = f"{url}/kompar/test"
        logins = {f"{name}_FILE": str(folder / name) for name in LOGINS}
        data.sandbox.publish(apis | logins | {"CA_FILE": str(authority.path)})
        try:
            click.echo(f"kvitto sandbox ready kompar={url}/kompar solaris={url}/solaris authority={authority.path}")
            while True:
                dispatcher.watch(lose_timers_every)
                dispatcher.lose_timers()
        finally:
            data.sandbox.withdraw()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the shutdown


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: answers and the attempt log hold all that matters."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - named by werkzeug
        """Drop the message."""


@contextmanager
def _serving(app: Flask, address: tuple[str, int], context: ssl.SSLContext) -> Iterator[int]:
    """Serve HTTPS with one thread per connection, which is enough for a sandbox; yield the port."""
    server = make_server(*address, app, threaded=True, request_handler=_QuietHandler, ssl_context=context)
    # The TLS handshake runs in the connection's own thread, so a silent client blocks no other.
    server.socket.do_handshake_on_connect = False  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="server")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()


def _logins(folder: Path) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return Kompar's login and Solaris' client, as name and secret; they are generated once and kept."""
    generated = ("lender", token_urlsafe(24), token_hex(16), token_urlsafe(24))
    username, password, client_id, client_secret = (
        atomic_file.keep(folder / name, value.encode()).decode().strip()
        for name, value in zip(LOGINS, generated, strict=True)
    )
    return (username, password), (client_id, client_secret)


def remove_cancelled(store: SubscriptionStore, hook: Hook) -> None:
    """Remove the subscription that its receiver cancelled."""
    if isinstance(hook, SolarisHook):
        store.remove(lambda subscription: subscription.id == hook.subscription)


def _address(bind: str) -> tuple[str, int]:
    environment = Environment({"bind": bind})
    host, port = environment.address("bind", "127.0.0.1:8443")
    problem = environment.faults[0].message if environment.faults else obstacle(host, port)
    if problem:
        raise click.ClickException(f"--bind {bind} cannot be served on ({problem}): name another, host:port")
    return host, port


def _local_name(host: str) -> str:
    """Return the name by which this machine reaches what is served at `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
