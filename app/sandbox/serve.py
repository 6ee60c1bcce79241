"""`kvitto sandbox serve`: the providers' APIs, and their deliveries, until it is stopped."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.audit.attempt_log import AttemptLog
from app.local.certificates import LOOPBACK, Authority, AuthorityFileError
from app.local.ports import obstacle
from app.local.wheels import EmbeddedServerError
from app.sandbox import options
from app.sandbox.api.app import Parts, create_app
from app.sandbox.credentials import LOGINS, Credentials
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Hook
from app.sandbox.https_server import serving
from app.sandbox.solaris import SolarisHook, shake_hands
from app.sandbox.subscriptions import Subscriptions, SubscriptionsFileError
from config.environment import Environment

if TYPE_CHECKING:  # it knows the receiving side, which the sandbox is not to know
    from app.local.data_folder import DataFolder

_DAY_SECONDS = 86_400
# One that was just told to end may take a moment.
_LOCK_SECONDS = 2.0


@click.command(
    epilog="\b\nExample: kvitto sandbox serve --speed 60 --record tries.jsonl\n"
    "         curl --cacert .kvitto/sandbox/authority.pem https://127.0.0.1:8443/sandbox"
)
@click.option("--bind", default="127.0.0.1:8443", show_default=True, help="Where to serve, host:port; port 0: any.")
@click.option(
    "--speed", type=options.Positive(), default=1.0, show_default=True, help="How many times faster waits pass."
)
@options.record
@click.option(
    "--lose-timers-every",
    type=options.Positive(max=_DAY_SECONDS),
    metavar="SECONDS",
    help="Forget tries that wait, as restarts do.",
)
@click.pass_obj
def serve(data: "DataFolder", bind: str, speed: float, record: Path | None, lose_timers_every: float | None) -> None:
    """Play Kompar's and Solaris' APIs over HTTPS, and deliver to whatever is registered there.

    \b
    /kompar        Kompar: GET /token, POST and DELETE /webhooks/applications, /webhooks/decisions
    /kompar/test   its test environment: the same, and GET /random/…, /flow/…; retries come after 1 s each
    /solaris       Solaris: POST /oauth2/token, POST, GET and DELETE /v1/webhooks
    /sandbox       GET: what is registered, what is pending, the faults
    \b
    Without a token, from this machine alone, with a JSON object as the body:
    POST /kompar/sandbox/send        {"topic": "applications", "count": 1, "fault": "duplicate"}
    POST /solaris/sandbox/send       {"event_type": "INCOMING_REJECTED_TRANSACTION", "count": 1}
    POST /kompar/sandbox/fail        {"calls": 1}: the API's next calls are answered 500; 0 ends that
    POST /sandbox/lose-timers        as a restart of the provider does

    Logins, the authority to trust and what is registered are kept in the folder `sandbox` of the data folder; Kompar's
    deliveries carry the token and the key that the receiver has (KOMPAR_TOKENS, KOMPAR_KEYS). Every try that fails is
    told on standard error.
    """
    address = _address(bind)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        _told(data.folder),
        data.sandbox.exclusive(_LOCK_SECONDS),
        _playing(data, address, speed, record) as (dispatcher, ready),
    ):
        click.echo(ready)
        _lose_timers(dispatcher, lose_timers_every)


@contextmanager
def _playing(
    data: "DataFolder", address: tuple[str, int], speed: float, record: Path | None
) -> Iterator[tuple[Dispatcher, str]]:
    """Serve for the duration of a block; yield what delivers, and the line that says that all is ready."""
    folder = data.folder / "sandbox"
    authority = Authority(data.folder)
    environment = Environment(os.environ | data.secret_files(("kompar",), os.environ))
    credentials = Credentials.read(environment, folder)
    subscriptions = Subscriptions(folder / "subscriptions.json")
    trust = authority.trust()
    with (
        closing(AttemptLog(record)) if record else nullcontext() as recording,
        Dispatcher(recording, speed, trust, on_cancelled=partial(forget, subscriptions), tell=_tell) as dispatcher,
    ):
        app = create_app(Parts(subscriptions, dispatcher, credentials, partial(shake_hands, trust=trust)))
        certificate = authority.issue("sandbox", (*LOOPBACK, address[0]))
        with serving(app, *address, certificate.context()) as port:
            url = f"https://{_reachable(address[0])}:{port}"
            apis = f"kompar={url}/kompar solaris={url}/solaris"
            data.sandbox.publish(_environment(url, authority.path))
            try:
                yield dispatcher, f"kvitto sandbox ready {apis} authority={authority.path}"
            finally:
                data.sandbox.withdraw()
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)  # a second one does not cut the end short


def _environment(url: str, authority: Path) -> dict[str, str]:
    """Return the settings of who subscribes here, for `kvitto subscriptions` on the same data folder."""
    apis = {
        "KOMPAR_API_URL": f"{url}/kompar/test",
        "SOLARIS_API_URL": f"{url}/solaris",
        "SOLARIS_AUTH_URL": f"{url}/solaris",
        "CA_FILE": str(authority),
    }
    return apis | {f"{name}_FILE": str(authority.with_name(name)) for name in LOGINS}


def _lose_timers(dispatcher: Dispatcher, every_seconds: float | None) -> None:
    """Lose timers again and again, or never; ends by a signal, or when tries cannot be recorded."""
    while True:
        dispatcher.watch(every_seconds)
        dispatcher.lose_timers()


def _tell(line: str) -> None:
    """Write a line to standard error; whether somebody reads it is no matter of deliveries."""
    with suppress(OSError):
        click.echo(line, err=True)


def forget(subscriptions: Subscriptions, hook: Hook) -> None:
    """Forget the subscription that its receiver cancelled."""
    if isinstance(hook, SolarisHook):
        subscriptions.remove(lambda each: each.id == hook.subscription)


def _address(bind: str) -> tuple[str, int]:
    environment = Environment({"bind": bind})
    host, port = environment.address("bind", "127.0.0.1:8443")
    why = environment.faults[0].message if environment.faults else obstacle(host, port)
    if why:
        raise click.ClickException(f"--bind {bind} cannot be served on ({why}): name another, host:port")
    return host, port


def _reachable(host: str) -> str:
    """Return the name under which this machine reaches what is served at `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell in plain words what keeps the sandbox from starting."""
    try:
        yield
    except (AuthorityFileError, EmbeddedServerError, SubscriptionsFileError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        mend = f"mend that, or name another data folder than {folder} with --data"
        raise click.ClickException(f"{error.filename} cannot be used ({error.strerror}): {mend}") from error
