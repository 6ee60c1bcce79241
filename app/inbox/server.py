"""The server that holds the inboxes: connecting to it, and what its failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.errors import Unavailable
from config.checks import REDIS_SETTINGS, redis_faults
from config.environment import Fault, Misconfigured


def connect(url: str, timeout_seconds: float = 2.0) -> Redis:
    """Return a client that answers or fails within its time, and never repeats a command by itself.

    redis-py's default of ten retries appended one delivery twice.

    Raises:
        Misconfigured: `url` is no address.
    """
    network = {} if url.startswith("unix") else {"socket_connect_timeout": 0.5, "socket_keepalive": True}
    try:
        return Redis.from_url(
            url, socket_timeout=timeout_seconds, retry=Retry(NoBackoff(), 0), max_connections=256, **network
        )
    except ValueError as error:
        mend = "Write it like redis://user:password@host:6379/0, special characters as %XX"
        raise Misconfigured([Fault("REDIS_URL", "cannot be read as an address", mend)]) from error


@contextmanager
def reachable() -> Iterator[None]:
    """Turn every failure of the server into Unavailable, with a slug that says which."""
    try:
        yield
    except RedisError as error:
        raise _unavailable(error) from error


def _unavailable(error: RedisError) -> Unavailable:
    match error:
        case OutOfMemoryError():
            return Unavailable("redis-full")
        case BusyLoadingError():
            return Unavailable("redis-loading")
        case AuthenticationError():  # a kind of ConnectionError, though the server answered
            return Unavailable("redis-refuses", "wrong user or password")
        case RedisConnectionError() | RedisTimeoutError():
            return Unavailable("redis-unreachable")
        case _:
            # Of "Command # 1 (…) of pipeline caused error: CODE …" the code only: the command quotes values.
            return Unavailable("redis-refuses", str(error).rpartition("caused error: ")[2].partition(" ")[0])


def ping(redis: Redis) -> None:
    """Raise Unavailable unless the server answers."""
    with reachable():
        redis.ping()


def durability_faults(redis: Redis) -> list[Fault]:
    """Return what in the server's settings could lose a confirmed append."""
    with reachable():
        try:
            settings: Any = redis.config_get(*REDIS_SETTINGS)
        except (NoPermissionError, ResponseError):
            settings = {}  # hidden, as managed services do: unknown is not proven
    return redis_faults(settings)
