"""Asks the servers of some processes, with the clients of these processes, and checks the answers."""

from collections.abc import Iterator
from contextlib import closing

from app.errors import StoreUnavailableError
from app.inbox import client as inbox_server
from app.inbox import wakeup
from app.preflight.environment import Configuration
from app.storage import server_info as ledger_server
from app.storage.connection import connect, translate_errors
from config.checks import postgres, redis
from config.checks.result import CheckResult, fault, ok


def ask_redis(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield results for the server of the inboxes; none if its address is not known."""
    url = configuration.address("redis_url")
    if url is None:
        return
    try:
        with closing(inbox_server.connect(url)) as client:
            facts = inbox_server.server_info(client, configuration.get("providers"))
    except StoreUnavailableError as error:
        message = f"{error} ({type(error.__cause__).__name__})"
        yield fault("redis", message, "Start it, or correct host, port, user and password in REDIS_URL")
        return
    yield ok("redis", "answers")
    body_limit_bytes = configuration.get("body_limit_bytes")
    yield from redis.check(facts, "redis" in configuration.get("allow_non_durable"), body_limit_bytes)


def ask_broker(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield whether the broker of the wake-ups answers its publishers; it holds nothing that could be lost."""
    url = configuration.address("broker_url")
    if url is None:
        return
    try:
        wakeup.ping(url)
        yield ok("broker", "answers")
    except StoreUnavailableError as error:
        yield fault("broker", str(error), "Start it, or correct CELERY_BROKER_URL; until then only sweeps drain")


def ask_postgres(configuration: Configuration) -> Iterator[CheckResult]:
    """Yield results for the server of the ledger; none if its address is not known."""
    dsn = configuration.address("database_url")
    if dsn is None:
        return
    try:
        with translate_errors(), connect(dsn, "check") as connection:
            facts = ledger_server.server_info(connection)
    except StoreUnavailableError as error:
        hint = "Start it, or correct host, port, user, password and database in DATABASE_URL"
        yield fault("postgres", f"{error.reason}: {ledger_server.server_message(error)}", hint)
        return
    yield ok("postgres", "answers")
    migrates = set(configuration.processes) <= {"migrate"}
    yield from postgres.check(facts, "postgres" in configuration.get("allow_non_durable"), migrates)
