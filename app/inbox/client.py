"""Connects to the Redis server of the inboxes, queries its state and translates its errors."""

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from redis import ConnectionPool, Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from app.errors import StoreUnavailableError
from app.inbox import connections
from config.celery import sentinel_options
from config.checks import redis as redis_checks
from config.checks.result import CheckResult, Facts, only_faults, without
from config.network import seconds_to_send
from config.redis_address import RedisAddress
from config.redis_login import login_options

# Keys of the inboxes, of pending wake-ups, and of Celery's transport.
_OWN_KEYS = (b"inbox:", b"wakeup:", b"_kombu.", b"unacked")
# Time that replicas have to confirm an append, beside what its size needs: less than a client waits for a reply.
_REPLICATION_SECONDS = 0.5
_QUOTED = re.compile(r"'([a-z|]+)'")


def _nothing(_: Exception) -> str:
    return ""


def _missing_permission(error: Exception) -> str:
    """Return what this user may not do: the name of a command, or "use a key"."""
    command = _QUOTED.search(str(error).rpartition("caused error: ")[2])
    return f"this user may not run {command[1].upper()}" if command else "this user may not use a key"


# By type of redis-py's errors, subclasses first: the end of our reason, and the detail.
_REASONS: tuple[tuple[type[Exception], str, Callable[[Exception], str]], ...] = (
    (exceptions.OutOfMemoryError, "full", _nothing),
    (exceptions.BusyLoadingError, "loading", _nothing),
    (connections.NotPrimaryError, "not-primary", str),
    (connections.UntrustedCertificateError, "certificate-not-trusted", str),
    (exceptions.NoPermissionError, "no-permission", _missing_permission),
    (exceptions.AuthenticationError, "refuses", lambda _: "wrong user or password"),
    (MasterNotFoundError, "unreachable", lambda _: "no sentinel names a primary of this name"),
    (exceptions.ConnectionError, "unreachable", _nothing),
    (exceptions.TimeoutError, "unreachable", _nothing),
)


def connect(address: RedisAddress, timeout_seconds: float = 2.0) -> Redis:
    """Return a client whose every reply takes `timeout_seconds` at most, beside what a large command needs to be sent.

    It never retries a command: redis-py's default of ten retries appended one delivery twice.
    """
    options: dict[str, Any] = {
        **login_options(address),
        "db": address.database,
        "socket_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": 256,
        "driver_info": None,  # sending the library's name costs a new connection two round trips
    }
    if address.socket_file:
        options |= {"connection_class": connections.SocketFileConnection, "path": address.socket_file}
        return Redis.from_pool(ConnectionPool(**options))
    options |= {"socket_connect_timeout": 0.5, "socket_keepalive": True, **(address.tls_options if address.tls else {})}
    if not address.primary:
        connection = connections.TlsConnection if address.tls else connections.TcpConnection
        host, port = address.hosts[0]
        return Redis.from_pool(ConnectionPool(connection_class=connection, host=host, port=port, **options))
    managed = connections.SentinelTlsConnection if address.tls else connections.SentinelTcpConnection
    sentinels = Sentinel(address.hosts, sentinel_kwargs=sentinel_options(address))  # type: ignore[no-untyped-call]
    pool = connections.SentinelPool(address.primary, sentinels, connection_class=managed, **options)  # type: ignore[no-untyped-call]
    return Redis.from_pool(pool)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn every error of the server or the connection into StoreUnavailableError."""
    try:
        yield
    except exceptions.RedisError as error:
        raise to_unavailable(error, "redis") from error


def to_unavailable(error: exceptions.RedisError, server: str) -> StoreUnavailableError:
    """Return an error of redis-py in our own words: its messages quote commands, values and addresses.

    `server` begins the reason: "redis", or "broker".
    """
    if "ACL failure in script" in str(error):
        return StoreUnavailableError(f"{server}-no-permission", _missing_permission(error))
    for kind, reason, detail in _REASONS:
        if isinstance(error, kind):
            return StoreUnavailableError(f"{server}-{reason}", detail(error))
    return StoreUnavailableError(f"{server}-refuses", connections.error_code(error))


def ping(redis: Redis) -> None:
    """Raise StoreUnavailableError unless the server answers."""
    with translate_errors():
        redis.ping()


def follow_primary(redis: Redis) -> None:
    """Ask the sentinels, if there are any, for the primary; after a fail-over, close idle connections to the former.

    The former primary takes writes until a sentinel demotes it, seconds later, and loses them then.
    """
    if isinstance(redis.connection_pool, connections.SentinelPool):
        with translate_errors():
            redis.connection_pool.get_master_address()  # type: ignore[no-untyped-call]


def confirmed_by_replicas(redis: Redis, replicas: int, command: Callable[[Redis], Any], sent_bytes: int = 0) -> Any:
    """Run one command, which sends so many bytes; return its reply once so many replicas have received what it wrote.

    Raises:
        StoreUnavailableError: Fewer have in time. The command was executed nevertheless.
    """
    with translate_errors():
        pipeline = redis.pipeline(transaction=False)
        command(pipeline)
        pipeline.wait(replicas, round((_REPLICATION_SECONDS + seconds_to_send(sent_bytes)) * 1000))
        reply, confirmed = pipeline.execute()
    if confirmed < replicas:
        raise StoreUnavailableError("redis-not-replicated", f"{confirmed} of {replicas} replicas confirmed")
    return reply


def rewrite_append_only_file(redis: Redis) -> None:
    """Have the server write its append-only file again, without what was deleted; it goes on in the background.

    Raises:
        StoreUnavailableError: It cannot be reached, or this user may not.
    """
    with translate_errors():
        try:
            redis.bgrewriteaof()
        except exceptions.ResponseError as error:
            if "already in progress" not in str(error):
                raise


def durability_errors(redis: Redis, allowed: Collection[str] = ()) -> list[CheckResult]:
    """Return which settings of the server could lose a confirmed append, without those that `allowed` lists."""
    with translate_errors():
        facts = _if_allowed(lambda: redis.info("replication")) | _settings(redis, redis_checks.DURABILITY_SETTINGS)
        return without(redis_checks.unsafe_settings(facts), allowed)


def memory(redis: Redis) -> tuple[int | None, float]:
    """Return the bytes that the server uses, None if it hides them, and its limit, infinity without one."""
    with translate_errors():
        info = _if_allowed(lambda: redis.info("memory"))
    return info.get("used_memory"), info.get("maxmemory") or float("inf")


def used_share(redis: Redis) -> float:
    """Return the share of its memory limit that the server uses, 0 to 1; 0 without a limit, or if it is hidden."""
    used, limit = memory(redis)
    return (used or 0) / limit


def startup_errors(redis: Redis, allowed: Collection[str]) -> list[CheckResult]:
    """Return why a process must not start with this server."""
    with translate_errors():
        problems = only_faults(redis_checks.blocking_problems(_if_allowed(redis.info)))
    return problems or durability_errors(redis, allowed)


def server_info(redis: Redis, providers: Collection[str]) -> Facts:
    """Return INFO, CONFIG GET and more of the server, as config.checks.redis expects them.

    `clock`: by how many seconds at least the server's clock differs from this machine's. `foreign` of `looked_at` keys,
    a sample, are not Kvitto's.
    """
    with translate_errors():
        facts = _if_allowed(redis.info)
        if only_faults(redis_checks.blocking_problems(facts)):
            return facts  # another kind of server, which may not know the commands below
        facts |= _settings(redis, redis_checks.CONFIG)
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
