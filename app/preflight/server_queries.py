"""Asks the servers that some processes would use, and has their answers judged."""

from collections.abc import Iterator
from contextlib import closing

from app.errors import StoreUnavailableError
from app.inbox import client as inbox_server
from app.inbox import wakeup
from app.preflight.environment import Configuration
from app.storage import server_info as ledger_server
from app.storage.connection import connect, translate_errors
from config.checks import postgres
from config.checks import redis as redis_checks
from config.checks.result import CheckResult, fault, ok


def ask_redis(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield what is to be said of the inboxes' server; nothing if its address is not known."""
    url = configuration.address("redis_url")
    if url is None:
        return
    try:
        with closing(inbox_server.connect(url)) as redis:
            facts = inbox_server.server_info(redis, configuration.get("providers"))
    except StoreUnavailableError as error:
        found = f"{error} ({type(error.__cause__).__name__})"
        yield fault("redis", found, "Start it, or correct host, port, user and password in REDIS_URL")
        return
    yield ok("redis", "answers")
    allowed, body_limit = configuration.get("allow_non_durable") or (), configuration.get("body_limit_bytes")
    yield from redis_checks.judge(facts, "redis" in allowed, body_limit)


def ask_broker(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield whether the broker of the wake-ups answers; it holds nothing that could be lost."""
    url = configuration.address("broker_url")
    if url is None or url == configuration.get("redis_url"):
        return  # unknown, or looked at already
    try:
        wakeup.ping(url)
        yield ok("broker", "answers")
    except StoreUnavailableError as error:
        yield fault("broker", str(error), "Start it, or correct CELERY_BROKER_URL; until then only sweeps drain")


def ask_postgres(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield what is to be said of the ledger's server; nothing if its address is not known."""
    dsn = configuration.address("database_url")
    if dsn is None:
        return
    try:
        with translate_errors(), connect(dsn, "check") as connection:
            facts = ledger_server.server_info(connection)
    except StoreUnavailableError as error:
        mend = "Start it, or correct host, port, user, password and database in DATABASE_URL"
        yield fault("postgres", f"{error.reason}: {ledger_server.server_message(error)}", mend)
        return
    yield ok("postgres", "answers")
    migrates = set(configuration.processes) <= {"migrate"}
    yield from postgres.judge(facts, "postgres" in (configuration.get("allow_non_durable") or ()), migrates)
