"""What each process needs to know: one frozen class per process, read from the environment."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from config.environment import Environment

# (id, 32 bytes), newest first: the first seals, all open.
Keys = tuple[tuple[str, bytes], ...]

_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediss", "unix")
_HTTP = ("http", "https")
_INGEST_BIND = "127.0.0.1:8080"


# Two files in PEM: a server's certificate with those between it and its authority, and its key.
Certificate = tuple[str, str]


class _Settings:
    """Reads a settings class from environment variables, all faults reported together."""

    @classmethod
    def load(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read and check; raises ConfigurationError with every fault."""
        environment = Environment(os.environ if variables is None else variables)
        settings = cls.read(environment)
        environment.check()
        return settings

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Read from `environment`, which notes the faults."""
        raise NotImplementedError


def _broker(environment: Environment) -> str:
    if environment.is_set("CELERY_BROKER_URL"):
        return environment.url("CELERY_BROKER_URL", (*_REDIS, "redis+socket"))
    # Celery has a name of its own for a socket file.
    return (
        environment.url("REDIS_URL", _REDIS).replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=")
    )


def provider_names(environment: Environment) -> tuple[str, ...]:
    """Return who is served."""
    return environment.names("PROVIDERS", "kompar,solaris")


def ingest_bind(environment: Environment) -> tuple[str, int]:
    """Return where the edge listens."""
    return environment.address("INGEST_BIND", _INGEST_BIND)


def console_bind(environment: Environment) -> tuple[str, int]:
    """Return where the console listens."""
    return environment.address("CONSOLE_BIND", "127.0.0.1:8081")


def ingest_certificate(environment: Environment) -> Certificate | None:
    """Return what the edge answers HTTPS with; None if it speaks HTTP, to a balancer say."""
    chain, key = environment.text("INGEST_TLS_CERT", ""), environment.text("INGEST_TLS_KEY", "")
    if not chain and not key:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password="")
    except (OSError, ssl.SSLError) as error:
        mend = "Name readable files in PEM, the second with the first one's key, without a password"
        told = f"cannot be used together with INGEST_TLS_KEY ({type(error).__name__})"
        environment.fault("INGEST_TLS_CERT", told, mend)
    return chain, key


def trusted_authority(environment: Environment) -> str:
    """Return the file with an authority to trust besides the usual ones; empty if none is named."""
    path = environment.text("CA_FILE", "")
    try:
        if path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        mend = "Name a readable file with an authority's certificate, in PEM"
        environment.fault("CA_FILE", f"cannot be used ({type(error).__name__})", mend)
    return path


def _allow_non_durable(environment: Environment) -> frozenset[str]:
    """Return the servers that may lose a confirmed write; an exception for one leaves the other's check on."""
    return environment.choices("ALLOW_NON_DURABLE", ("redis", "postgres"))


def _canary_secret(environment: Environment) -> str:
    """Return what canaries are signed with; empty where there are none."""
    return environment.secret("CANARY_SECRET") if environment.is_set("CANARY_SECRET") else ""


@dataclass(frozen=True, slots=True)
class IngestSettings(_Settings):
    """The public edge. Providers' tokens and secrets are read by their own folders."""

    database_url: str
    redis_url: str
    broker_url: str
    providers: tuple[str, ...]
    sealing_keys: Keys
    body_limit_bytes: int
    bind: tuple[str, int]
    certificate: Certificate | None
    allow_non_durable: frozenset[str]
    canary_secret: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            redis_url=environment.url("REDIS_URL", _REDIS),
            broker_url=_broker(environment),
            providers=provider_names(environment),
            sealing_keys=environment.keys("SEALING_KEYS"),
            body_limit_bytes=environment.integer("BODY_LIMIT_BYTES", 25 * 1024 * 1024, 1024),
            bind=ingest_bind(environment),
            certificate=ingest_certificate(environment),
            allow_non_durable=_allow_non_durable(environment),
            canary_secret=_canary_secret(environment),
        )


@dataclass(frozen=True, slots=True)
class WorkerSettings(_Settings):
    """Workers, and the operator's commands that do a worker's work (audit, replay)."""

    database_url: str
    redis_url: str
    broker_url: str
    providers: tuple[str, ...]
    sealing_keys: Keys
    fingerprint_key: bytes
    allow_non_durable: frozenset[str]

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            redis_url=environment.url("REDIS_URL", _REDIS),
            broker_url=_broker(environment),
            providers=provider_names(environment),
            sealing_keys=environment.keys("SEALING_KEYS"),
            fingerprint_key=environment.key("FINGERPRINT_KEY"),
            allow_non_durable=_allow_non_durable(environment),
        )


@dataclass(frozen=True, slots=True)
class BeatSettings(_Settings):
    """The clock that has every inbox swept, and canaries sent to the edge at `ingest_url` if there is a secret."""

    broker_url: str
    providers: tuple[str, ...]
    ingest_url: str
    authority: str
    canary_secret: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            broker_url=_broker(environment),
            providers=provider_names(environment),
            ingest_url=environment.url("INGEST_URL", _HTTP, f"http://{_INGEST_BIND}"),
            authority=trusted_authority(environment),
            canary_secret=_canary_secret(environment),
        )


@dataclass(frozen=True, slots=True)
class AuditSettings(_Settings):
    """What looks at inboxes and the ledger and opens nothing: the audit, a worker's health."""

    database_url: str
    redis_url: str
    providers: tuple[str, ...]

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            redis_url=environment.url("REDIS_URL", _REDIS),
            providers=provider_names(environment),
        )


@dataclass(frozen=True, slots=True)
class LedgerSettings(_Settings):
    """Commands that speak to Postgres alone."""

    database_url: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(database_url=environment.url("DATABASE_URL", _POSTGRES))


@dataclass(frozen=True, slots=True)
class SubscriptionSettings(_Settings):
    """What is asked of providers, and kept of it. Their addresses and logins are read by their own folders.

    `public_url` is where providers reach the edge; empty if it is not set.
    """

    database_url: str
    providers: tuple[str, ...]
    public_url: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            providers=provider_names(environment),
            public_url=environment.url("PUBLIC_URL", ("https",), "").rstrip("/"),
        )


@dataclass(frozen=True, slots=True)
class ResealSettings(_Settings):
    """Sealing anew, as the schema's owner: no process may change a body."""

    database_url: str
    sealing_keys: Keys

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            sealing_keys=environment.keys("SEALING_KEYS"),
        )


@dataclass(frozen=True, slots=True)
class MigrateSettings(_Settings):
    """The schema's owner; `role_passwords` are (role, password) to give to the roles of the other processes."""

    database_url: str
    role_passwords: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, environment: Environment) -> Self:
        given = environment.is_set("ROLE_PASSWORDS")
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            role_passwords=environment.labelled_secrets("ROLE_PASSWORDS") if given else (),
        )


@dataclass(frozen=True, slots=True)
class ConsoleSettings(_Settings):
    """Operators' pages and metrics, on a private port."""

    database_url: str
    bind: tuple[str, int]
    password: str
    providers: tuple[str, ...]
    canary_max_age_seconds: int

    @classmethod
    def read(cls, environment: Environment) -> Self:
        return cls(
            database_url=environment.url("DATABASE_URL", _POSTGRES),
            bind=console_bind(environment),
            password=environment.secret("CONSOLE_PASSWORD"),
            providers=provider_names(environment),
            canary_max_age_seconds=environment.integer("CANARY_MAX_AGE_SECONDS", 60, 0),
        )
