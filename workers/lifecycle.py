"""What a worker does when it starts and ends: checks, connections, its slot."""

import gc
import logging
import sys
from functools import cache, partial
from typing import Any
from uuid import uuid4

from celery.signals import celeryd_init, worker_init, worker_process_init, worker_process_shutdown

from app import metrics
from app.canary import message as canary
from app.crypto.sealing import SealingKeys
from app.errors import StoreUnavailableError
from app.inbox import client, wakeup
from app.inbox.stream import Inbox
from app.process_settings import read_worker
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.storage import server_info as ledger_server
from app.storage.connection import connect
from app.storage.ledger import Ledger
from config.checks.result import CheckResult
from config.environment import ConfigurationError, Environment
from config.settings import WorkerSettings
from workers.audit_task import AuditTask
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot
from workers.fallback_sweep import FallbackSweep

# A batch makes some ten thousand objects that live as long as it does: by default the collector of cycles goes
# through them, and all that start-up made, dozens of times, a tenth of a worker's time.
_OBJECTS = 10_000
# Names this worker's main process; its children inherit it.
_WORKER = uuid4()
logger = logging.getLogger(__name__)


@cache
def _settings() -> WorkerSettings:
    return WorkerSettings.load()


@cache
def _slot() -> ConsumerSlot:
    return ConsumerSlot(worker=_WORKER)


@cache
def consumer(provider: str) -> InboxConsumer:
    """Return this process's station at the provider's inbox, made at first use: after the fork."""
    return make_consumer(provider, _slot())


@cache
def audit_task(provider: str) -> AuditTask:
    """Return this process's auditor of the provider, made at first use: after the fork."""
    return AuditTask(_inbox(provider), _ledger(provider))


def _inbox(provider: str) -> Inbox:
    return Inbox(client.connect(_settings().redis_url), provider)


def _ledger(provider: str) -> Ledger:
    return Ledger(_settings().database_url, provider, "postgres" in _settings().allow_non_durable)


def make_consumer(provider: str, slot: ConsumerSlot) -> InboxConsumer:
    """Return a station at the provider's inbox, with connections of its own."""
    settings = _settings()
    environment = Environment.of_process()
    opener = registry.load(provider, environment)
    environment.check()
    assert opener is not None  # noqa: S101 - else check() has raised
    redis = client.connect(settings.redis_url)
    ledger = _ledger(provider)
    seals = SealingKeys(settings.sealing_keys)
    pipeline = partial(BatchProcessor, DeliveryProcessor(seals, opener), ledger)
    canaries = CanaryConsumer(Inbox(redis, canary.inbox_name(provider)), ledger, seals, provider)
    ring = partial(wakeup.WakeupPublisher(settings.broker_url).publish, provider)
    return InboxConsumer(Inbox(redis, provider), pipeline, slot, ring, canaries)


@celeryd_init.connect
def _refuse_or_start(**_: Any) -> None:
    """Refuse to start on settings or servers that could lose a delivery. A server that is down is waited for."""
    try:
        environment = Environment.of_process()
        settings = read_worker(environment)
        environment.check()
        faults = _server_faults(settings)
        if faults:
            raise ConfigurationError(faults)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who starts it
        raise SystemExit(78) from error


def _server_faults(settings: WorkerSettings) -> list[CheckResult]:
    faults = []
    try:
        faults += client.startup_errors(client.connect(settings.redis_url), "redis" in settings.allow_non_durable)
        with connect(settings.database_url, "check") as connection:
            faults += ledger_server.startup_errors(connection, "postgres" in settings.allow_non_durable)
    except StoreUnavailableError as error:
        logger.warning("started_without_store", extra={"reason": error.reason, "detail": error.detail})
    return faults


@worker_init.connect
def _start_standby(**_: Any) -> None:
    """Look after the inboxes from the main process too, with connections and a slot that no child shares."""
    slot = ConsumerSlot(worker=_WORKER)
    FallbackSweep([make_consumer(provider, slot) for provider in _settings().providers], _WORKER).start()


@worker_process_init.connect
def _start_stations(**_: Any) -> None:
    for provider in _settings().providers:
        consumer(provider).start()
        metrics.PROCESSING_ERRORS.labels(provider, "not-readable")
        for outcome in metrics.OUTCOMES:
            metrics.DELIVERIES_PROCESSED.labels(provider, outcome)
    gc.freeze()
    gc.set_threshold(_OBJECTS)


@worker_process_shutdown.connect
def _give_slot_back(**_: Any) -> None:
    _slot().release()
