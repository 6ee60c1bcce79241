"""Whether a process does its work, for what restarts it when it does not: each judged by its own settings alone."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from app.canary import message as canary
from app.canary.heartbeat import Heartbeat
from app.errors import StoreUnavailableError
from app.tls import unverified
from config.settings import AuditSettings, BeatSettings

_SECONDS = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104 - told apart, not bound


@dataclass(frozen=True, slots=True)
class Health:
    """What a process is like, in words."""

    healthy: bool
    words: str


def judge_worker(settings: AuditSettings, providers: Iterable[str], limit_seconds: float) -> Health:
    """Judge the worker of these providers: unhealthy while a canary waits that it should have taken in long ago.

    One that is never sent is not the worker's fault. Nor is a server that cannot be reached: nothing could be
    taken in without it, and a restart would not mend it.
    """
    try:
        waited = max(_waits(settings, providers))
    except StoreUnavailableError as error:
        return Health(True, f"a server cannot be asked ({error}), which no restart would mend")
    if waited[0] > limit_seconds:
        return Health(False, f"a canary of {waited[1]} has been waiting for {waited[0]:.0f} s")
    return Health(True, "no canary has been waiting for long")


def _waits(settings: AuditSettings, providers: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Yield for how long canaries have been waiting, each by the clock of the server that keeps it."""
    # A container's health check of a server needs neither Redis nor Postgres, and runs every few seconds.
    from app.inbox import client  # noqa: PLC0415
    from app.inbox.stream import Inbox  # noqa: PLC0415
    from app.storage.connection import borrow, connect  # noqa: PLC0415
    from app.storage.overflow import Overflow  # noqa: PLC0415

    with closing(client.connect(settings.redis_url)) as redis, connect(settings.database_url, "health") as connection:
        for provider in providers:
            road = canary.inbox_name(provider)
            yield Inbox(redis, road).oldest_seconds(), provider
            yield Overflow(lambda: borrow(connection), road).oldest_seconds(), provider


def judge_beat(settings: BeatSettings, limit_seconds: float) -> Health:
    """Judge beat on this machine: unhealthy while it sends no canaries though it should."""
    if not settings.canary_secret:
        return Health(True, "no canaries are to be sent (CANARY_SECRET is not set)")
    age = Heartbeat(settings.ingest_url).age_seconds()
    if age is None:
        return Health(False, "no canary was ever sent from this machine")
    return Health(age <= limit_seconds, f"canaries were last sent {age:.0f} s ago")


def judge_server(bind: tuple[str, int], https: bool = False, path: str = "/livez") -> Health:
    """Judge a server on this machine by `path`, /livez or /readyz: unhealthy unless it answers 200."""
    host, port = _EVERYWHERE.get(bind[0], bind[0]), bind[1]
    with closing(_connection(host, port, https)) as connection:
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return Health(False, f"{host}:{port} does not answer ({type(error).__name__})")
    return Health(status == 200, f"{host}:{port} answers {status}")


def _connection(host: str, port: int, https: bool) -> HTTPConnection:
    if not https:
        return HTTPConnection(host, port, timeout=_SECONDS)
    return HTTPSConnection(host, port, timeout=_SECONDS, context=unverified())
