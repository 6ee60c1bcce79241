"""Every setting with values that no operator means: each is a fault with a name, or can be used."""

import base64
import ssl
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from app.errors import StoreUnavailableError
from app.inbox import client
from app.local.ports import obstacle
from app.process_settings import READERS
from app.providers import registry
from app.storage.connection import connect
from config import declarations
from config.environment import ConfigurationError, Environment, load

DECLARED = (*declarations.SETTINGS, *(s for name in registry.known() for s in registry.declared_settings(name)))
# Read by the command line only.
READ_ELSEWHERE = ("KVITTO_DATA",)
NAMES = [setting.name for setting in DECLARED]
KEY = base64.b64encode(b"s" * 32).decode()
NOWHERE = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/x",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "INGEST_URL": "http://127.0.0.1:1",
}
SECRETS = {"SEALING_KEYS": f"a={KEY}", "FINGERPRINT_KEY": KEY, "CONSOLE_PASSWORD": "p" * 20, "CANARY_SECRET": "c" * 20}
API = {
    "KOMPAR_API_USERNAME": "u", "KOMPAR_API_PASSWORD": "p" * 20, "SOLARIS_CLIENT_ID": "i",
    "SOLARIS_CLIENT_SECRET": "s" * 20,
}  # fmt: skip
PROVIDERS = [registry.development_secrets(name) for name in registry.known()]
VALID = NOWHERE | SECRETS | API | dict(ChainMap(*PROVIDERS))
STANDARD = {process: load(read, VALID) for process, read in READERS.items()}
HOSTS = (
    "a..b",
    f"{'a' * 64}.example",
    f"{'a.' * 130}b",
    "a:80a",
    "a:0",
    "a:65536",
    "a:8²",
    f"a:{'9' * 5000}",
    "[::1",
    "",
    "ü",
)
SCHEMES = ("redis", "rediss", "redis+sentinel", "postgresql", "http", "https", "unix")
VALUES = (
    "", " ", "\t\n", "0", "-1", "1e9", "9" * 12, "9" * 5000, "²", "٣", "0x10", "nan", "inf", "\x01", "a\x7fb", "\u202e",
    "a\nb", ",", "=", "a=", "=b", "a=b,a=b", "%", "%2C", "x" * 100_000, "../..", "/", "'quoted'", "{}", "\udcff",
    *(f"{host}:8080" for host in HOSTS), *HOSTS, "127.0.0.1:8²", "127.0.0.1:-1", "127.0.0.1:99999", "[::1]:0", "*:8080",
    *(f"{scheme}://{host}" for scheme in SCHEMES for host in HOSTS),
    *(f"{scheme}://127.0.0.1:1/{path}" for scheme in SCHEMES for path in ("9" * 5000, "²", "%00", "a\x01b")),
    "unix:///%00", f"unix:///{'a' * 200}", "redis+sentinel://a..b/m", "postgresql://127.0.0.1,a..b:1,2/x",
    "postgresql://127.0.0.1:1/x?host=a..b", "redis://:%00@127.0.0.1:1",
)  # fmt: skip


def reachable(bind: tuple[str, int] | None) -> None:
    if bind and bind[1] != 0:
        obstacle(*bind, busy_seconds=0)


def called_redis(address: Any) -> None:
    with suppress(StoreUnavailableError), closing(client.connect(address, 0.2)) as redis:
        client.ping(redis)


def called_postgres(dsn: str) -> None:
    with suppress(StoreUnavailableError, ConfigurationError):
        connect(dsn, "test").close()


@cache
def trust() -> ssl.SSLContext:
    """Return what each client trusts: to read all authorities takes 20 ms."""
    return httpx.create_ssl_context()


def called(url: str) -> None:
    address = url or NOWHERE["INGEST_URL"]
    with suppress(httpx.TransportError), httpx.Client(base_url=address, trust_env=False, verify=trust()) as caller:
        caller.get("/")


def waited(seconds: int) -> None:
    assert seconds <= threading.TIMEOUT_MAX
    assert timedelta(seconds=seconds) < timedelta(days=2)


# What a process does with a setting that was accepted, by the field that holds it.
USES: Mapping[str, Callable[[Any], object]] = {
    "ingest_bind": reachable,
    "console_bind": reachable,
    "metrics_bind": reachable,
    "redis": called_redis,
    "broker": called_redis,
    "database_url": called_postgres,
    "ingest_url": called,
    "public_url": called,
    "otlp_endpoint": called,
    "drain_seconds": waited,
    "canary_max_age_seconds": waited,
}


@cache
def names_read(process: str) -> set[str]:
    environment = Environment(VALID)
    READERS[process](environment)
    return set(environment.names_read)


@pytest.mark.parametrize("name", NAMES)
def test_setting_with_any_value_is_a_fault_or_can_be_used(name: str) -> None:
    processes = [process for process in READERS if name in names_read(process)]
    assert processes or name in READ_ELSEWHERE
    for value in VALUES:
        for process in processes:
            try:
                settings = load(READERS[process], VALID | {name: value})
            except ConfigurationError as error:  # exit 78
                str(error).encode()
                continue
            for field, use in USES.items():
                if hasattr(settings, field) and getattr(settings, field) != getattr(STANDARD[process], field):
                    use(getattr(settings, field))


def test_hostile_values_are_not_the_reason_why_valid_ones_are_accepted() -> None:
    for read in READERS.values():
        load(read, VALID)
