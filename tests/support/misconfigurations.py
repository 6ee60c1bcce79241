"""Misconfigurations of settings and servers, each applied to a real healthy setup."""

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from app.inbox import client
from app.storage.connection import connect
from app.storage.migration_runner import migrate
from config.checks.result import CheckLevel
from config.redis_address import RedisAddress
from tests.support.servers import eventually

# A role that may do what every process does, for one environment of them all.
EVERY_PROCESS = "every_process"
WARNING, FAULT = CheckLevel.WARNING, CheckLevel.FAULT
NOWHERE = "127.0.0.1:1"
Environment = dict[str, str]


@dataclass(frozen=True)
class HealthySetup:
    """Servers and settings without any problem."""

    environment: Environment
    redis: Redis
    valkey: Path
    database: psycopg.Connection[Any]

    def dsn(self, user: str = "kvitto", database: str = "healthy") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.database.info.port}/{database}"


# Applies one misconfiguration for the duration of a block; yields the environment to check.
Seed = Callable[[HealthySetup], AbstractContextManager[Environment]]


def role_of_every_process(
    connection: psycopg.Connection[Any], name: str = EVERY_PROCESS, prefix: str = "kvitto"
) -> None:
    roles = ", ".join(f"{prefix}_{process}" for process in ("ingest", "worker", "console"))
    connection.execute(f"CREATE ROLE {name} LOGIN IN ROLE {roles}".encode())


def key(byte: bytes) -> str:
    return base64.b64encode(byte * 32).decode()


def setting(**values: str) -> Seed:
    """Set variables; each replaces its NAME_FILE."""

    @contextmanager
    def seed(healthy: HealthySetup) -> Iterator[Environment]:
        environment = dict(healthy.environment)
        for name, value in values.items():
            environment.pop(f"{name}_FILE", None)
            environment[name] = value
        yield environment

    return seed


def redis_with(*settings: tuple[str, str]) -> Seed:
    """Change settings of Redis."""

    @contextmanager
    def seed(healthy: HealthySetup) -> Iterator[Environment]:
        before: Any = {name: healthy.redis.config_get(name)[name] for name, _ in settings}
        for name, value in settings:
            healthy.redis.config_set(name, value)
        yield healthy.environment
        for name in reversed(before):
            healthy.redis.config_set(name, before[name])

    return seed


def database_with(name: str, value: str) -> Seed:
    """Change a setting of the database, for every connection."""

    @contextmanager
    def seed(healthy: HealthySetup) -> Iterator[Environment]:
        healthy.database.execute(f"ALTER DATABASE healthy SET {name} = {value}")
        yield healthy.environment
        healthy.database.execute("SET default_transaction_read_only = off")
        healthy.database.execute(f"ALTER DATABASE healthy RESET {name}")

    return seed


def taking(privilege: str, role: str) -> Seed:
    """Take a privilege from a role."""

    @contextmanager
    def seed(healthy: HealthySetup) -> Iterator[Environment]:
        healthy.database.execute(f"REVOKE {privilege} FROM {role}".encode())
        yield healthy.environment
        healthy.database.execute(f"GRANT {privilege} TO {role}".encode())

    return seed


def connecting(user: str = EVERY_PROCESS, database: str = "healthy", how: str = "SELECT") -> Seed:
    """Connect as another role or to another database, which a statement creates."""

    @contextmanager
    def seed(healthy: HealthySetup) -> Iterator[Environment]:
        healthy.database.execute(how)
        yield healthy.environment | {"DATABASE_URL": healthy.dsn(user, database)}

    return seed


@contextmanager
def a_file_for_all_to_read(healthy: HealthySetup) -> Iterator[Environment]:
    file = Path(healthy.environment["SEALING_KEYS_FILE"])
    file.chmod(0o644)
    yield healthy.environment
    file.chmod(0o600)


@contextmanager
def little_memory_left(healthy: HealthySetup, used: float = 0.96) -> Iterator[Environment]:
    info: Any = healthy.redis.info("memory")
    with redis_with(("maxmemory", str(int(info["used_memory"] / used))))(healthy) as environment:
        yield environment


@contextmanager
def less_memory_left(healthy: HealthySetup) -> Iterator[Environment]:
    with little_memory_left(healthy, 0.82) as environment:
        yield environment


@contextmanager
def many_clients(healthy: HealthySetup) -> Iterator[Environment]:
    with redis_with(("maxclients", "100"))(healthy) as environment, ExitStack() as held:
        for _ in range(92):
            held.enter_context(client.connect(RedisAddress.parse(environment["REDIS_URL"]))).ping()
        yield environment


@contextmanager
def a_replica(healthy: HealthySetup) -> Iterator[Environment]:
    healthy.redis.replicaof(*NOWHERE.split(":"))
    yield healthy.environment
    healthy.redis.replicaof("NO", "ONE")


@contextmanager
def a_writable_replica(healthy: HealthySetup) -> Iterator[Environment]:
    with a_replica(healthy), redis_with(("replica-read-only", "no"))(healthy) as environment:
        yield environment


@contextmanager
def a_neighbour(healthy: HealthySetup) -> Iterator[Environment]:
    healthy.redis.set("session:19811218-9876", "another application's")
    yield healthy.environment
    healthy.redis.delete("session:19811218-9876")


@contextmanager
def a_failed_snapshot(healthy: HealthySetup) -> Iterator[Environment]:
    target = healthy.valkey / "dump.rdb"
    target.unlink(missing_ok=True)
    target.mkdir()
    snapshot(healthy, "err")
    yield healthy.environment
    target.rmdir()
    snapshot(healthy, "ok")


def snapshot(healthy: HealthySetup, status: str) -> None:
    def done() -> bool:
        info: Any = healthy.redis.info("persistence")
        return bool(info["rdb_last_bgsave_status"] == status and not info["rdb_bgsave_in_progress"])

    healthy.redis.bgsave()
    eventually(done, f"a snapshot that ends {status}")


@contextmanager
def a_failed_snapshot_that_stops_writes(healthy: HealthySetup) -> Iterator[Environment]:
    with a_failed_snapshot(healthy), redis_with(("save", "3600 1"))(healthy) as environment:
        yield environment


@contextmanager
def a_password(healthy: HealthySetup) -> Iterator[Environment]:
    healthy.redis.config_set("requirepass", "not-known-to-us")
    yield healthy.environment
    healthy.redis.config_set("requirepass", "")


@contextmanager
def another_collation(healthy: HealthySetup) -> Iterator[Environment]:
    """Leave the database as a new image of the server with another C library does."""
    create = "CREATE DATABASE collated TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    healthy.database.execute(create)
    with connect(healthy.dsn(database="collated"), "test") as connection:
        migrate(connection, "collated")
        connection.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'collated'")
        role_of_every_process(connection, "every_collated", "collated")
    yield healthy.environment | {"DATABASE_URL": healthy.dsn("every_collated", "collated")}
    healthy.database.execute("DROP DATABASE collated WITH (FORCE)")


SEEDS: dict[str, tuple[Seed, str, CheckLevel, str, str]] = {
    "loss accepted": (
        setting(ALLOW_NON_DURABLE="redis.appendfsync"), "ALLOW_NON_DURABLE", WARNING, "lists redis.app", "Unset it",
    ),
    "retention": (setting(RETENTION="kompar.letters=6"), "RETENTION", FAULT, "kompar.letters", "acme.bodies=6"),
    "retention of nobody": (setting(RETENTION="acme.bodies=6"), "RETENTION", FAULT, "no folder", "Correct the name"),
    "open file": (a_file_for_all_to_read, "SEALING_KEYS_FILE", WARNING, "mode 0644", "0600"),
    "fingerprint key seals": (
        setting(FINGERPRINT_KEY=key(b"s")), "FINGERPRINT_KEY", WARNING, "SEALING_KEYS", "first in SEALING_KEYS",
    ),
    "short password": (setting(CONSOLE_PASSWORD="123456789"), "CONSOLE_PASSWORD", WARNING, "9 characters", "openssl"),
    "short token": (setting(KOMPAR_TOKENS=f"{'t' * 20},abc"), "KOMPAR_TOKENS", FAULT, "value 2 of 2", "16 at least"),
    "one secret for two": (
        setting(CONSOLE_PASSWORD="t" * 20, KOMPAR_TOKENS="t" * 20),
        "CONSOLE_PASSWORD", WARNING, "KOMPAR_TOKENS", "value of its own",
    ),
    "token that no header carries": (
        setting(KOMPAR_TOKENS="tökén-" * 4), "kompar credentials", FAULT, "credential 1 is rejected", "ASCII",
    ),
    "metrics for all": (setting(METRICS_BIND="0.0.0.0:9400"), "METRICS_BIND", WARNING, "every address", "private"),
    "metrics and console on one port": (
        setting(METRICS_BIND="127.0.0.1:8081"), "METRICS_BIND", FAULT, "CONSOLE_BIND", "another port",
    ),
    "metrics nowhere": (setting(METRICS_BIND="9400"), "METRICS_BIND", FAULT, "is not host:port", "127.0.0.1:9400"),
    "console for all": (setting(CONSOLE_BIND="0.0.0.0:8081"), "CONSOLE_BIND", WARNING, "every address", "private"),
    "console for all, IPv6": (setting(CONSOLE_BIND="[::]:8081"), "CONSOLE_BIND", WARNING, "every address", "private"),
    "one port for two": (setting(CONSOLE_BIND="127.0.0.1:8080"), "CONSOLE_BIND", FAULT, "INGEST_BIND", "another port"),
    "nobody's folder": (setting(PROVIDERS="kompar,nobody"), "PROVIDERS", FAULT, "'nobody'", "Correct the name"),
    "no sealing key": (setting(SEALING_KEYS=""), "SEALING_KEYS", FAULT, "needed by ingest, worker)", "_KEYS_FILE"),
    "a key cut short": (setting(SEALING_KEYS="a=c2hvcnQ="), "SEALING_KEYS", FAULT, "32 bytes", "openssl rand"),
    "no such file": (setting(CONSOLE_PASSWORD_FILE="/none"), "CONSOLE_PASSWORD_FILE", FAULT, "cannot be read", "Name"),
    "a redis port in letters": (setting(REDIS_URL="redis://r:port/0"), "REDIS_URL", FAULT, "cannot be read", "6379"),
    "an option in an address": (
        setting(REDIS_URL=f"redis://{NOWHERE}?protocol=3"), "REDIS_URL", FAULT, "protocol", "Remove it",
    ),
    "a host in brackets": (setting(DATABASE_URL="postgresql://[/k"), "DATABASE_URL", FAULT, "cannot be read", "port"),
    "redis is not there": (
        setting(REDIS_URL=f"redis://{NOWHERE}/0", CELERY_BROKER_URL=f"redis://{NOWHERE}/0"),
        "redis", FAULT, "unreachable", "REDIS_URL",
    ),
    "redis wants a password": (a_password, "redis", FAULT, "AuthenticationError", "password in REDIS_URL"),
    "no append-only file": (redis_with(("appendonly", "no")), "redis appendonly", FAULT, "'no'", "CONFIG SET"),
    "fsync every second": (redis_with(("appendfsync", "everysec")), "redis appendfsync", FAULT, "everysec", "always"),
    "no fsync meanwhile": (
        redis_with(("no-appendfsync-on-rewrite", "yes")), "redis no-appendfsync-on-rewrite", FAULT, "'yes'", "CONFIG",
    ),
    "eviction": (
        redis_with(("maxmemory-policy", "allkeys-lru")), "redis maxmemory-policy", FAULT, "allkeys-lru", "noeviction",
    ),
    "no memory limit": (redis_with(("maxmemory", "0")), "redis memory", WARNING, "kernel", "CONFIG SET maxmemory"),
    "memory filling": (less_memory_left, "redis memory", WARNING, "used", "raise maxmemory"),
    "memory full": (little_memory_left, "redis memory", FAULT, "used", "raise maxmemory"),
    "clients": (many_clients, "redis clients", FAULT, "of 100 used", "maxclients"),
    "idle connections closed": (redis_with(("timeout", "30")), "redis timeout", WARNING, "30 s", "timeout 0"),
    "bodies too large": (
        redis_with(("proto-max-bulk-len", "1048576")), "redis proto-max-bulk-len", FAULT, "1048576 bytes", "lower BODY",
    ),
    "commands too large": (
        redis_with(("client-query-buffer-limit", "1048576")),
        "redis client-query-buffer-limit", FAULT, "1048576 bytes", "client-query-buffer-limit 26",
    ),
    "replica": (a_replica, "redis role", FAULT, "replica", "primary"),
    "no replicas": (redis_with(("min-replicas-to-write", "1")), "redis replicas", FAULT, "0 connected", "CONFIG SET"),
    "snapshot failed": (a_failed_snapshot, "redis last write", WARNING, "snapshot", "BGSAVE"),
    "snapshot failed, writes stop": (
        a_failed_snapshot_that_stops_writes, "redis last write", FAULT, "snapshot", "BGSAVE",
    ),
    "another application": (a_neighbour, "redis keys", WARNING, "1 of the ", "server of its own"),
    "no broker": (setting(CELERY_BROKER_URL=f"redis://{NOWHERE}/0"), "broker", FAULT, "unreachable", "CELERY_BROKER"),
    "postgres is not there": (
        setting(DATABASE_URL=f"postgresql://{NOWHERE}/k"), "postgres", FAULT, "refused", "DATABASE_URL",
    ),
    "no such database": (connecting(database="none"), "postgres", FAULT, "does not exist", "DATABASE_URL"),
    "no migrations": (
        connecting(database="template1"), "postgres migrations", FAULT, " pending", "kvitto migrate",
    ),
    "a role without rights": (
        connecting("blind", how="CREATE ROLE blind LOGIN; GRANT CONNECT ON DATABASE healthy TO blind"),
        "postgres privileges", FAULT, "blind lacks USAGE ON SCHEMA kvitto and", "such as kvitto_ingest or",
    ),
    "the role of another process": (
        connecting("kvitto_ingest"), "postgres privileges", FAULT, "more, which worker needs", "kvitto_worker",
    ),
    "a right taken from a role": (
        taking("INSERT ON kvitto.overflow", "kvitto_ingest"),
        "postgres privileges", FAULT, "lacks INSERT ON kvitto.overflow, which ingest needs", "kvitto_ingest",
    ),
    "a right on a column taken from a role": (
        taking("UPDATE (outcome) ON kvitto.receipts", "kvitto_worker"),
        "postgres privileges", FAULT, "lacks UPDATE (outcome) ON kvitto.receipts, which worker needs", "GRANT it",
    ),
    "another collation": (
        another_collation, "postgres collation", WARNING, "made under version 0", "REFRESH COLLATION VERSION",
    ),
    "superuser": (connecting("kvitto"), "postgres privileges", WARNING, "superuser", "Connect as a role"),
    "owner": (
        connecting("owning", how="CREATE ROLE owning LOGIN IN ROLE kvitto"),
        "postgres privileges", WARNING, "owner", "leave the owner",
    ),
    "late commits": (
        database_with("synchronous_commit", "off"), "postgres synchronous_commit", FAULT, "'off'", "commit = on",
    ),
    "read-only": (
        database_with("default_transaction_read_only", "on"), "postgres role", FAULT, "read-only", "Reset default",
    ),
    "details logged": (
        database_with("log_error_verbosity", "verbose"), "postgres log_error_verbosity", WARNING, "verbose", "= terse",
    ),
    "failed statements logged": (
        database_with("log_min_error_statement", "error"),
        "postgres log_min_error_statement", WARNING, "error", "panic",
    ),
    "failed parameters logged": (
        database_with("log_parameter_max_length_on_error", "100"),
        "postgres log_parameter_max_length_on_error", WARNING, "'100'", "= 0",
    ),
    "statements logged": (database_with("log_statement", "mod"), "postgres log_statement", WARNING, "'mod'", "= none"),
    "slow statements logged": (
        database_with("log_min_duration_statement", "500"),
        "postgres log_min_duration_statement", WARNING, "500", "= -1",
    ),
}  # fmt: skip
