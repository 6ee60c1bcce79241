"""Health of one process, for a supervisor that restarts it. Each check reads only the settings of that process."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from app.canary import message as canary
from app.canary.heartbeat import Heartbeat
from app.errors import StoreUnavailableError
from app.tls import unverified
from config.settings import AuditSettings, BeatSettings

_TIMEOUT_SECONDS = 3.0
# Addresses that mean every interface, and how to reach them from this machine.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a check; `words` is a sentence for operators."""

    healthy: bool
    words: str


def check_worker(settings: AuditSettings, providers: Iterable[str], limit_seconds: float) -> Health:
    """Check the workers of these providers: unhealthy if a canary has waited longer than the limit.

    A missing canary is no sign of a sick worker. Neither is a server that cannot be reached: a restart of the worker
    does not help.
    """
    try:
        waited_seconds, provider = max(_waiting_times(settings, providers))
    except StoreUnavailableError as error:
        return Health(True, f"a server cannot be reached ({error}), which a restart does not fix")
    if waited_seconds > limit_seconds:
        return Health(False, f"a canary of {provider} has been waiting for {waited_seconds:.0f} s")
    return Health(True, "no canary has been waiting for long")


def _waiting_times(settings: AuditSettings, providers: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Yield the wait of the oldest canary in each store, in seconds by the store's clock, and its provider."""
    # The health check of a server needs neither Redis nor Postgres, and runs every few seconds.
    from app.inbox import client  # noqa: PLC0415
    from app.inbox.stream import Inbox  # noqa: PLC0415
    from app.storage.connection import borrow, connect  # noqa: PLC0415
    from app.storage.overflow import Overflow  # noqa: PLC0415

    with closing(client.connect(settings.redis_url)) as redis, connect(settings.database_url, "health") as connection:
        for provider in providers:
            name = canary.inbox_name(provider)
            yield Inbox(redis, name).oldest_seconds(), provider
            yield Overflow(lambda: borrow(connection), name).oldest_seconds(), provider


def check_beat(settings: BeatSettings, limit_seconds: float) -> Health:
    """Check beat on this machine: unhealthy if it should send canaries and sent none within the limit."""
    if not settings.canary_secret:
        return Health(True, "no canaries are to be sent (CANARY_SECRET is not set)")
    age = Heartbeat(settings.ingest_url).age_seconds()
    if age is None:
        return Health(False, "no canary was ever sent from this machine")
    return Health(age <= limit_seconds, f"canaries were last sent {age:.0f} s ago")


def check_server(bind: tuple[str, int], https: bool = False, path: str = "/livez") -> Health:
    """Check an HTTP server on this machine: unhealthy unless it answers 200 to `path`, /livez or /readyz."""
    host, port = _LOOPBACK.get(bind[0], bind[0]), bind[1]
    if https:
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=unverified())
    else:
        connection = HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return Health(False, f"{host}:{port} does not answer ({type(error).__name__})")
    return Health(status == 200, f"{host}:{port} answers {status}")
