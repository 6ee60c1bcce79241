"""Asks the servers that some processes would use, and has their answers judged."""

from collections.abc import Iterator
from contextlib import closing

from app import doorbell
from app.diagnosis.configuration import Configuration
from app.errors import Unavailable
from app.inbox import server as inbox_server
from app.storage import server as ledger_server
from app.storage.connection import connect, sorted_failures
from config import postgres_checks, redis_checks
from config.findings import Finding, fault, ok


def ask_redis(configuration: Configuration) -> Iterator[Finding]:
    """Yield what is to be said of the inboxes' server; nothing if its address is not known."""
    url = configuration.address("redis_url")
    if url is None:
        return
    try:
        with closing(inbox_server.connect(url)) as redis:
            facts = inbox_server.facts(redis, configuration.get("providers"))
    except Unavailable as error:
        found = f"{error} ({type(error.__cause__).__name__})"
        yield fault("redis", found, "Start it, or correct host, port, user and password in REDIS_URL")
        return
    yield ok("redis", "answers")
    loss_accepted, body_limit = configuration.get("loss_accepted"), configuration.get("body_limit_bytes")
    yield from redis_checks.judge(facts, bool(loss_accepted), body_limit)


def ask_broker(configuration: Configuration) -> Iterator[Finding]:
    """Yield whether the broker of the wake-ups answers; it holds nothing that could be lost."""
    url = configuration.address("broker_url")
    if url is None or url == configuration.get("redis_url"):
        return  # unknown, or looked at already
    try:
        doorbell.reach(url)
        yield ok("broker", "answers")
    except Unavailable as error:
        yield fault("broker", str(error), "Start it, or correct CELERY_BROKER_URL; until then only sweeps drain")


def ask_postgres(configuration: Configuration) -> Iterator[Finding]:
    """Yield what is to be said of the ledger's server; nothing if its address is not known."""
    dsn = configuration.address("database_url")
    if dsn is None:
        return
    try:
        with sorted_failures(), connect(dsn, "check") as connection:
            facts = ledger_server.facts(connection)
    except Unavailable as error:
        mend = "Start it, or correct host, port, user, password and database in DATABASE_URL"
        yield fault("postgres", f"{error.reason}: {ledger_server.why(error)}", mend)
        return
    yield ok("postgres", "answers")
    migrates = set(configuration.processes) <= {"migrate"}
    yield from postgres_checks.judge(facts, bool(configuration.get("loss_accepted")), migrates)
