"""Connects to the Redis server of the inboxes, queries its state and translates its errors."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.errors import StoreUnavailableError
from config.checks import redis as redis_checks
from config.checks.result import CheckResult, Facts, fault, only_faults
from config.environment import ConfigurationError

# Keys of the inboxes, of pending wake-ups, and of Celery's transport.
_OWN_KEYS = (b"inbox:", b"wakeup:", b"_kombu.", b"unacked")


def connect(url: str, timeout_seconds: float = 2.0) -> Redis:
    """Return a client whose every reply takes `timeout_seconds` at most, and that never retries a command.

    redis-py's default of ten retries appended one delivery twice.

    Raises:
        ConfigurationError: `url` is not an address.
    """
    network = {} if url.startswith("unix") else {"socket_connect_timeout": 0.5, "socket_keepalive": True}
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            max_connections=256,
            driver_info=None,  # sending the library's name costs a new connection two round trips
            **network,
        )
    except ValueError as error:
        hint = "Write it like redis://user:password@host:6379/0, special characters as %XX"
        raise ConfigurationError([fault("REDIS_URL", "cannot be read as an address", hint)]) from error


def is_address(url: str) -> bool:
    """Return whether `url` is a well-formed address; connects to nothing."""
    try:
        connect(url).close()
    except ConfigurationError:
        return False
    return True


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn every error of the server or the connection into StoreUnavailableError."""
    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise StoreUnavailableError("redis-full") from error
    except exceptions.BusyLoadingError as error:
        raise StoreUnavailableError("redis-loading") from error
    except exceptions.AuthenticationError as error:  # a subclass of ConnectionError, although the server answered
        raise StoreUnavailableError("redis-refuses", "wrong user or password") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise StoreUnavailableError("redis-unreachable") from error
    except exceptions.RedisError as error:
        # Of "Command # 1 (…) of pipeline caused error: CODE …" only the code is kept: the command quotes values.
        code = str(error).rpartition("caused error: ")[2].partition(" ")[0]
        raise StoreUnavailableError("redis-refuses", code) from error


def ping(redis: Redis) -> None:
    """Raise StoreUnavailableError unless the server answers."""
    with translate_errors():
        redis.ping()


def durability_errors(redis: Redis) -> list[CheckResult]:
    """Return which settings of the server could lose a confirmed append."""
    with translate_errors():
        facts = _if_allowed(lambda: redis.info("replication")) | _settings(redis, redis_checks.DURABILITY_SETTINGS)
        return redis_checks.unsafe_settings(facts)


def used_share(redis: Redis) -> float:
    """Return the share of its memory limit that the server uses, 0 to 1; 0 without a limit, or if it is hidden."""
    with translate_errors():
        memory = _if_allowed(lambda: redis.info("memory"))
    return memory["used_memory"] / memory["maxmemory"] if memory.get("maxmemory") else 0.0


def startup_errors(redis: Redis, allow_non_durable: bool) -> list[CheckResult]:
    """Return why a process must not start with this server."""
    with translate_errors():
        problems = only_faults(redis_checks.blocking_problems(_if_allowed(redis.info)))
    return problems if allow_non_durable else problems + durability_errors(redis)


def server_info(redis: Redis, providers: Collection[str]) -> Facts:
    """Return INFO, CONFIG GET and more of the server, as config.checks.redis expects them.

    `clock`: by how many seconds at least the server's clock differs from this machine's. `foreign` of `looked_at` keys,
    a sample, are not Kvitto's.
    """
    with translate_errors():
        facts = _if_allowed(redis.info) | _settings(redis, redis_checks.CONFIG)
        before = time.time()
        seconds, micros = redis.time()
        clock, after = seconds + micros / 1e6, time.time()
        facts["clock"] = max(0.0, before - clock, clock - after)
        if facts.get("loading"):
            return facts
        reply: Any = redis.scan(count=1000)
    keys: list[bytes] = reply[1]
    # Celery's queues are named like their providers.
    own = [key for key in keys if key.startswith(_OWN_KEYS) or key.decode(errors="replace") in providers]
    return facts | {"looked_at": len(keys), "foreign": len(keys) - len(own)}


def _settings(redis: Redis, names: Collection[str]) -> dict[str, Any]:
    return _if_allowed(lambda: redis.config_get(*names))


def _if_allowed(query: Callable[[], Any]) -> dict[str, Any]:
    """Return the reply; empty if the server hides it, as managed services do. A hidden setting counts as not proven."""
    try:
        return dict(query())
    except exceptions.ResponseError:
        return {}
