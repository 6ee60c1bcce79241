"""The server that holds the inboxes: connecting to it, and what its failures mean."""

import time
from collections.abc import Callable, Collection, Iterator
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

from app.errors import StoreUnavailableError
from config.checks import redis as redis_checks
from config.checks.result import CheckResult, Facts, fault, only_faults
from config.checks.startup import REDIS_SETTINGS, redis_faults
from config.environment import ConfigurationError

# Keys of the inboxes, of the doorbell, and of Celery's transport.
_OWN = (b"inbox:", b"doorbell:", b"_kombu.", b"unacked")


def connect(url: str, timeout_seconds: float = 2.0) -> Redis:
    """Return a client that answers or fails within its time, and never repeats a command by itself.

    redis-py's default of ten retries appended one delivery twice.

    Raises:
        ConfigurationError: `url` is no address.
    """
    network = {} if url.startswith("unix") else {"socket_connect_timeout": 0.5, "socket_keepalive": True}
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            max_connections=256,
            driver_info=None,  # naming the library would cost a new connection two round trips
            **network,
        )
    except ValueError as error:
        mend = "Write it like redis://user:password@host:6379/0, special characters as %XX"
        raise ConfigurationError([fault("REDIS_URL", "cannot be read as an address", mend)]) from error


def is_address(url: str) -> bool:
    """Tell whether a server can be named like this; whether one is there is another question."""
    try:
        connect(url).close()
    except ConfigurationError:
        return False
    return True


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn every failure of the server into StoreUnavailableError, with a slug that says which."""
    try:
        yield
    except RedisError as error:
        raise _unavailable(error) from error


def _unavailable(error: RedisError) -> StoreUnavailableError:
    match error:
        case OutOfMemoryError():
            return StoreUnavailableError("redis-full")
        case BusyLoadingError():
            return StoreUnavailableError("redis-loading")
        case AuthenticationError():  # a kind of ConnectionError, though the server answered
            return StoreUnavailableError("redis-refuses", "wrong user or password")
        case RedisConnectionError() | RedisTimeoutError():
            return StoreUnavailableError("redis-unreachable")
        case _:
            # Of "Command # 1 (…) of pipeline caused error: CODE …" the code only: the command quotes values.
            return StoreUnavailableError("redis-refuses", str(error).rpartition("caused error: ")[2].partition(" ")[0])


def ping(redis: Redis) -> None:
    """Raise StoreUnavailableError unless the server answers."""
    with translate_errors():
        redis.ping()


def durability_errors(redis: Redis) -> list[CheckResult]:
    """Return what in the server's settings could lose a confirmed append."""
    with translate_errors():
        return redis_faults(_told(lambda: redis.info("replication")) | _settings(redis, REDIS_SETTINGS))


def used_share(redis: Redis) -> float:
    """Return how much of its memory limit the server uses, 0 to 1; 0 if it has none, or does not tell."""
    with translate_errors():
        memory = _told(lambda: redis.info("memory"))
    return memory["used_memory"] / memory["maxmemory"] if memory.get("maxmemory") else 0.0


def startup_errors(redis: Redis, allow_non_durable: bool) -> list[CheckResult]:
    """Return why a process must not start on this server."""
    with translate_errors():
        unfit = only_faults(redis_checks.blocking_problems(_told(redis.info)))
    return unfit if allow_non_durable else unfit + durability_errors(redis)


def server_info(redis: Redis, providers: Collection[str]) -> Facts:
    """Return what the server tells of itself, for config.checks.redis.

    Beside its own names: `clock`, seconds that it differs from this machine's; `foreign` of the `looked_at` keys.
    """
    with translate_errors():
        told = _told(redis.info) | _settings(redis, (*REDIS_SETTINGS, *redis_checks.CONFIG))
        told["clock"] = _clock(redis)
        return told if told.get("loading") else told | _keys(redis, providers)


def _settings(redis: Redis, names: Collection[str]) -> dict[str, Any]:
    return _told(lambda: redis.config_get(*names))


def _told(ask: Callable[[], Any]) -> dict[str, Any]:
    """Return the answer; nothing if it is hidden, as managed services do: unknown is not proven."""
    try:
        return dict(ask())
    except (NoPermissionError, ResponseError):
        return {}


def _clock(redis: Redis) -> float:
    """Return how many seconds at least the server's clock differs from this machine's."""
    before = time.time()
    seconds, micros = redis.time()
    after = time.time()
    return max(0.0, before - (seconds + micros / 1e6), seconds + micros / 1e6 - after)


def _keys(redis: Redis, providers: Collection[str]) -> dict[str, int]:
    """Look at some keys; a queue of Celery's is named like its provider."""
    found: Any = redis.scan(count=1000)
    keys: list[bytes] = found[1]
    own = [key for key in keys if key.startswith(_OWN) or key.decode(errors="replace") in providers]
    return {"looked_at": len(keys), "foreign": len(keys) - len(own)}
