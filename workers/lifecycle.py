"""Starts and stops a worker: checks, connections, consumer slots."""

import gc
from collections.abc import Mapping
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid4

from celery.signals import worker_process_init, worker_process_shutdown

import config.logging
from app import metrics
from app.crypto.sealing import SealingKeys
from app.domain import canary
from app.inbox import client, wakeup
from app.inbox.stream import Inbox
from app.preflight.startup import require_fit_servers
from app.processing.processor import DeliveryProcessor
from app.providers import registry
from app.providers.base import Provider
from app.storage.ledger import Ledger
from app.storage.retention import Limits
from app.tracing import tracer
from app.tracing.tracer import Tracer
from config.environment import Environment
from config.secret_files import Rereading
from config.settings import WorkerSettings
from workers.batch import BatchProcessor
from workers.canary_consumer import CanaryConsumer
from workers.consumer import InboxConsumer
from workers.consumer_slots import ConsumerSlot
from workers.fallback_sweep import FallbackSweep
from workers.operator_jobs import OperatorJobs

# A batch creates some ten thousand objects that live until it ends. With the default threshold the garbage collector
# scanned them, and all objects of start-up, dozens of times: a tenth of a worker's time.
_GC_THRESHOLD = 10_000


Opening = tuple[WorkerSettings, Mapping[str, Provider]]


@cache
def _secrets() -> Rereading[Opening]:
    """Return what this worker reads: its settings, and the providers with the keys of their bodies."""
    return Rereading(_read, report=metrics.report_secret)


def _read(environment: Environment) -> Opening:
    settings = WorkerSettings.read(environment)
    found = {name: registry.load(name, environment) for name in settings.providers}
    return settings, {name: each for name, each in found.items() if each is not None}


def worker_settings() -> WorkerSettings:
    """Return this worker's settings."""
    return _secrets().value[0]


def retention() -> Limits:
    """Return after how many months what is removed."""
    return worker_settings().retention


@cache
def worker_id() -> UUID:
    """Return what identifies this worker's parent process. It calls this first, and its children inherit the value.

    Not at the import: the workers of `kvitto up` are forks of one process that has imported this module.
    """
    return uuid4()


@cache
def _slot() -> ConsumerSlot:
    return ConsumerSlot(worker=worker_id())


def consumer(provider: str) -> InboxConsumer:
    """Return this process's consumer of a provider, with the keys that the secret files hold now."""
    if _secrets().refresh():
        for name in worker_settings().providers:
            metrics.credential_series(name, _processor(name).credentials)
            _consumer(name).use(_processor(name), _sealing_keys())
    return _consumer(provider)


@cache
def _consumer(provider: str) -> InboxConsumer:
    """Return this process's consumer of a provider, created at first use: after the fork."""
    return make_consumer(provider, _slot(), _tracer())


def operator_jobs(provider: str) -> OperatorJobs:
    """Return what does this process's part of what operators ask for, with the keys that the files hold now."""
    consumer(provider)  # which looks at the files
    jobs = _operator_jobs(provider)
    jobs.use(_sealing_keys(), _secrets().value[1][provider])
    return jobs


@cache
def _operator_jobs(provider: str) -> OperatorJobs:
    return OperatorJobs(_consumer(provider).ledger, _sealing_keys(), _secrets().value[1][provider])


@cache
def _tracer() -> Tracer:
    """Return this process's tracer, created at first use: after the fork."""
    return tracer.start("worker", worker_settings())


def make_consumer(provider: str, slot: ConsumerSlot, tracer: Tracer | None = None) -> InboxConsumer:
    """Return a consumer of a provider, with its own connections."""
    settings = worker_settings()
    redis = client.connect(settings.redis)
    ledger = Ledger(settings.database_url, provider, settings.durability_exceptions)
    return InboxConsumer(
        Inbox(redis, provider),
        BatchProcessor(_processor(provider), ledger, tracer),
        slot,
        partial(wakeup.WakeupPublisher(settings.broker).publish, provider),
        CanaryConsumer(Inbox(redis, canary.inbox_name(provider)), ledger, _sealing_keys(), provider),
    )


def _sealing_keys() -> SealingKeys:
    return SealingKeys(worker_settings().sealing_keys)


def _processor(provider: str) -> DeliveryProcessor:
    return DeliveryProcessor(_sealing_keys(), _secrets().value[1][provider])


def start() -> None:
    """Check the servers, then watch the inboxes from this parent process, with a slot that no child shares.

    Raises:
        ConfigurationError: A server could lose a delivery, or no temporary folder can be written.
    """
    slot = ConsumerSlot(worker=worker_id())
    require_fit_servers("worker", worker_settings())
    gc.freeze()  # a collection in a child would write to what both share, and so copy all of it
    FallbackSweep([make_consumer(provider, slot) for provider in worker_settings().providers], worker_id()).start()


@worker_process_init.connect
def _start_consumers(**_: Any) -> None:
    metrics.share()
    metrics.worker_series(worker_settings().providers)
    metrics.secret_series(_secrets().files)
    for provider in worker_settings().providers:
        metrics.credential_series(provider, _processor(provider).credentials)
        consumer(provider).start()  # which looks at the secret files: a child of later has what its parent read
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


@worker_process_shutdown.connect
def _release_slot(**_: Any) -> None:
    _slot().release()
    _tracer().close()
    config.logging.sum_up()
