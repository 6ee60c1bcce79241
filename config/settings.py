"""The settings of each process: one frozen class per process, read from the environment."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import tzinfo
from typing import Any, Self

from config.checks import postgres, redis
from config.declarations import DEFAULTS
from config.environment import MIN_SECRET_LENGTH, Environment, load
from config.networks import Network, trusted_proxies
from config.oidc import OidcSettings, oidc
from config.quiet_hours import QuietHours, quiet_hours, time_zone
from config.redis_address import RedisAddress, RedisAddressError
from config.retention import retention
from config.tracing import otlp_endpoint, traced_share

# (id, 32 bytes), newest first: the first seals, all open.
Keys = tuple[tuple[str, bytes], ...]
# Two files in PEM: a server's certificate chain, and its key.
Certificate = tuple[str, str]

_HOUR = 3600
# Less than the 512 MB that Redis takes for one value by default.
_MAX_BODY_BYTES = 256 * 1024 * 1024
# Short enough for the name of a role, which has 63 bytes at most.
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,49}")


def provider_names(environment: Environment) -> tuple[str, ...]:
    """Return the providers that are served."""
    return environment.names("PROVIDERS", DEFAULTS["PROVIDERS"])


def drain_seconds(environment: Environment) -> int:
    """Return how long ingest goes on serving after SIGTERM."""
    return environment.integer("DRAIN_SECONDS", DEFAULTS["DRAIN_SECONDS"], 0, _HOUR)


def ingest_bind(environment: Environment) -> tuple[str, int]:
    """Return where ingest listens, as (host, port)."""
    return environment.address("INGEST_BIND", DEFAULTS["INGEST_BIND"])


def console_bind(environment: Environment) -> tuple[str, int]:
    """Return where the console listens, as (host, port)."""
    return environment.address("CONSOLE_BIND", DEFAULTS["CONSOLE_BIND"])


def metrics_bind(environment: Environment) -> tuple[str, int] | None:
    """Return where a process serves its metrics, as (host, port); None if it serves none."""
    return environment.address("METRICS_BIND", "127.0.0.1:9400") if environment.text("METRICS_BIND", "") else None


def allow_non_durable(environment: Environment) -> frozenset[str]:
    """Return the settings of servers that may lose a confirmed write, as `server.setting`."""
    return environment.choices("ALLOW_NON_DURABLE", (*redis.DURABILITY_NAMES, *postgres.DURABILITY_NAMES))


def durable_store(environment: Environment) -> str:
    """Return the server in which deliveries wait."""
    return environment.choice("DURABLE_STORE", ("redis", "postgres"), DEFAULTS["DURABLE_STORE"])


def durability_exceptions(environment: Environment) -> frozenset[str]:
    """Return the settings that need not be durable: the allowed ones, and all of a Redis that keeps no delivery."""
    keeps_none = durable_store(environment) == "postgres"
    return allow_non_durable(environment) | frozenset(redis.DURABILITY_NAMES if keeps_none else ())


def ingest_certificate(environment: Environment) -> Certificate | None:
    """Return the certificate with which ingest serves HTTPS; None if it serves HTTP, behind a balancer for example."""
    chain, key = environment.text("INGEST_TLS_CERT", ""), environment.text("INGEST_TLS_KEY", "")
    if not chain and not key:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password="")
    except (OSError, ssl.SSLError) as error:
        message = f"cannot be used together with INGEST_TLS_KEY ({type(error).__name__})"
        hint = "Name readable files in PEM, the second with the key of the first, without a password"
        environment.fault("INGEST_TLS_CERT", message, hint)
    return chain, key


def trusted_authority(environment: Environment) -> str:
    """Return the file with an additional authority to trust; empty if none is named."""
    path = environment.text("CA_FILE", "")
    try:
        if path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        hint = "Name a readable file with an authority's certificate, in PEM"
        environment.fault("CA_FILE", f"cannot be used ({type(error).__name__})", hint)
    return path


def database_url(environment: Environment) -> str:
    """Return the address of Postgres. What follows the scheme is checked where libpq can be asked."""
    url = environment.secret("DATABASE_URL")
    if url and not url.startswith(("postgresql://", "postgres://")):
        hint = "Write it like postgresql://user:password@host/name"
        environment.fault("DATABASE_URL", "is no postgresql:// address", hint)
    return url


def redis_address(environment: Environment, name: str = "REDIS_URL") -> RedisAddress:
    """Return the address of a Redis; the sentinels' password and the authority are settings of their own."""
    password = environment.secret("REDIS_SENTINEL_PASSWORD", "")
    authority = trusted_authority(environment)
    if url := environment.secret(name):
        try:
            return replace(RedisAddress.parse(url, password, authority), setting=name)
        except RedisAddressError as error:
            environment.fault(name, str(error), error.hint)
    return RedisAddress((("localhost", 6379),))


def _broker_address(environment: Environment) -> RedisAddress:
    return redis_address(environment, broker_setting(environment))


def broker_setting(environment: Environment) -> str:
    """Return the setting that gives the address of the broker."""
    return "CELERY_BROKER_URL" if environment.is_set("CELERY_BROKER_URL") else "REDIS_URL"


def role_prefix(environment: Environment) -> str:
    """Return what the names of the processes' roles in Postgres begin with."""
    prefix = environment.text("ROLE_PREFIX", DEFAULTS["ROLE_PREFIX"])
    if not _PREFIX.fullmatch(prefix):
        environment.fault("ROLE_PREFIX", "is no prefix of a role's name", "Use lower-case letters, digits and _")
        return DEFAULTS["ROLE_PREFIX"]
    return prefix


def search_key(environment: Environment) -> bytes:
    """Return the key of the digests for a process that can do without it; empty if it has none."""
    return environment.key("FINGERPRINT_KEY") if environment.is_set("FINGERPRINT_KEY") else b""


# How each field of the classes below is read.
_FIELDS: Mapping[str, Callable[[Environment], Any]] = {
    "database_url": database_url,
    "redis": redis_address,
    "broker": _broker_address,
    "providers": provider_names,
    "sealing_keys": lambda environment: environment.keys("SEALING_KEYS"),
    "fingerprint_key": lambda environment: environment.key("FINGERPRINT_KEY"),
    "body_limit_bytes": lambda environment: environment.integer(
        "BODY_LIMIT_BYTES", DEFAULTS["BODY_LIMIT_BYTES"], 1024, _MAX_BODY_BYTES
    ),
    "drain_seconds": drain_seconds,
    "ingest_bind": ingest_bind,
    "console_bind": console_bind,
    "metrics_bind": metrics_bind,
    "certificate": ingest_certificate,
    "trusted_proxies": trusted_proxies,
    "durability_exceptions": durability_exceptions,
    "durable_store": durable_store,
    "inbox_replicas": lambda environment: environment.integer("INBOX_REPLICAS", DEFAULTS["INBOX_REPLICAS"], 0, 100),
    "canary_secret": lambda environment: environment.secret("CANARY_SECRET", "", MIN_SECRET_LENGTH),
    "canary_max_age_seconds": lambda environment: environment.integer(
        "CANARY_MAX_AGE_SECONDS", DEFAULTS["CANARY_MAX_AGE_SECONDS"], 0, 24 * _HOUR
    ),
    "ingest_url": lambda environment: environment.url("INGEST_URL", ("http", "https"), DEFAULTS["INGEST_URL"]),
    "authority": trusted_authority,
    "otlp_endpoint": otlp_endpoint,
    "otlp_headers": lambda environment: environment.labelled_secrets("OTEL_EXPORTER_OTLP_HEADERS", "", 1),
    "traced_share": traced_share,
    "public_url": lambda environment: environment.url("PUBLIC_URL", ("https",), "").rstrip("/"),
    "certificate_url": lambda environment: environment.url("CERTIFICATE_URL", ("https",), ""),
    "role_prefix": role_prefix,
    "retention": retention,
    "role_passwords": lambda environment: environment.labelled_secrets("ROLE_PASSWORDS", ""),
    "quiet_hours": quiet_hours,
    "time_zone": time_zone,
    "search_key": search_key,
    "password": lambda environment: environment.secret("CONSOLE_PASSWORD"),
    "oidc": oidc,
}


@dataclass(frozen=True, slots=True)
class _Settings:
    """Reads the fields of a class from environment variables."""

    @classmethod
    def load(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read and check; raises ConfigurationError with every fault."""
        return load(cls.read, variables)

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Read from `environment`, which collects the faults."""
        return cls(**{field.name: _FIELDS[field.name](environment) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class LedgerSettings(_Settings):
    """Commands that use Postgres only; each class below adds what its process needs."""

    database_url: str


@dataclass(frozen=True, slots=True)
class AuditSettings(LedgerSettings):
    """What reads inboxes and the ledger and opens nothing: the audit, a worker's health, the console."""

    redis: RedisAddress
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TracingSettings(AuditSettings):
    """What traces deliveries; without `otlp_endpoint` nothing does. `otlp_headers` are (name, value)."""

    otlp_endpoint: str
    otlp_headers: tuple[tuple[str, str], ...]
    traced_share: float
    authority: str


@dataclass(frozen=True, slots=True)
class IngestSettings(TracingSettings):
    """Ingest. Each provider's folder reads the tokens and secrets of its provider."""

    broker: RedisAddress
    sealing_keys: Keys
    body_limit_bytes: int
    drain_seconds: int
    ingest_bind: tuple[str, int]
    certificate: Certificate | None
    trusted_proxies: tuple[Network, ...]
    durability_exceptions: frozenset[str]
    durable_store: str
    inbox_replicas: int
    canary_secret: str
    metrics_bind: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class WorkerSettings(TracingSettings):
    """Workers, and the operators' commands that process deliveries (replay, reveal)."""

    broker: RedisAddress
    sealing_keys: Keys
    fingerprint_key: bytes
    durability_exceptions: frozenset[str]
    metrics_bind: tuple[str, int] | None
    quiet_hours: QuietHours
    time_zone: tzinfo
    retention: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class BeatSettings(_Settings):
    """Beat, which schedules sweeps and audits, and sends canaries to `ingest_url` if there is a secret."""

    broker: RedisAddress
    providers: tuple[str, ...]
    ingest_url: str
    authority: str
    canary_secret: str
    metrics_bind: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class ConsoleSettings(AuditSettings):
    """The operators' pages and metrics, on a private port. Without `search_key` nobody is found by a national id."""

    console_bind: tuple[str, int]
    password: str
    search_key: bytes
    oidc: OidcSettings | None
    authority: str
    canary_max_age_seconds: int
    certificate_url: str
    metrics_bind: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class SubscriptionSettings(LedgerSettings):
    """Subscriptions to `public_url`, empty if not set. Each provider's folder reads address and login of its API."""

    providers: tuple[str, ...]
    public_url: str


@dataclass(frozen=True, slots=True)
class RetentionSettings(LedgerSettings):
    """Removing what is older than its limit."""

    retention: Mapping[str, Mapping[str, int]]
    durability_exceptions: frozenset[str]


@dataclass(frozen=True, slots=True)
class ResealSettings(LedgerSettings):
    """Sealing again, as the schema's owner: no process may change a body."""

    sealing_keys: Keys


@dataclass(frozen=True, slots=True)
class RejectedSettings(LedgerSettings):
    """Readmission. Each provider's folder reads the tokens and secrets of its provider."""

    providers: tuple[str, ...]
    sealing_keys: Keys


@dataclass(frozen=True, slots=True)
class MigrateSettings(LedgerSettings):
    """The schema's owner; `role_passwords` are (role, password) of the other processes' roles."""

    role_passwords: tuple[tuple[str, str], ...]
    role_prefix: str
