"""What a process asks of its servers before it starts; `kvitto check` asks the same, and more."""

import logging
from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial

from app.errors import StoreUnavailableError
from app.inbox import client
from app.storage import server_info
from app.storage.connection import connect, translate_errors
from config.checks import postgres, redis
from config.checks.result import CheckLevel, CheckResult, only_faults
from config.environment import ConfigurationError
from config.redis_address import RedisAddress
from config.settings import ConsoleSettings, IngestSettings, WorkerSettings

# For a process that only reads: nothing is lost by what it does.
EVERY_EXCEPTION = frozenset({*redis.DURABILITY_NAMES, *postgres.DURABILITY_NAMES})
logger = logging.getLogger(__name__)


def require_fit_servers(process: str, settings: IngestSettings | WorkerSettings | ConsoleSettings) -> None:
    """Raise ConfigurationError unless Redis and Postgres are what `process` needs: ingest, worker or console.

    A server that is down does not stop the start.
    """
    exceptions = EVERY_EXCEPTION if isinstance(settings, ConsoleSettings) else settings.durability_exceptions
    faults = [
        *_unless_down(partial(_redis_faults, settings.redis, exceptions)),
        *_unless_down(partial(_postgres_faults, settings.database_url, process, exceptions)),
    ]
    if faults:
        raise ConfigurationError(faults)


def _unless_down(ask: Callable[[], list[CheckResult]]) -> list[CheckResult]:
    try:
        return ask()
    except StoreUnavailableError as error:
        logger.warning("started_without_store", extra={"reason": error.reason, "detail": error.detail})
        return []


def _redis_faults(address: RedisAddress, exceptions: Collection[str]) -> list[CheckResult]:
    with closing(client.connect(address)) as connection:
        return client.startup_errors(connection, exceptions)


def _postgres_faults(dsn: str, process: str, exceptions: Collection[str]) -> list[CheckResult]:
    with translate_errors(), connect(dsn, "check") as connection:
        facts = server_info.server_info(connection, [process])
    result = postgres.collation(facts["collation"])
    if result.level is CheckLevel.WARNING:
        logger.warning("server_warning", extra={"subject": result.name, "detail": result.message})
    return only_faults(postgres.startup(facts, exceptions))
