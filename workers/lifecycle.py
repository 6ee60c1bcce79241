"""What a worker does when it starts and ends: checks, connections, its slot."""

import gc
import logging
import sys
from functools import cache, partial
from typing import Any
from uuid import uuid4

from celery.signals import celeryd_init, worker_init, worker_process_init, worker_process_shutdown

from app import canary, doorbell, metrics, providers
from app.crypto.sealing import SealingKeys
from app.errors import Unavailable
from app.inbox import Inbox, server
from app.processes import read_worker
from app.settling import Settler
from app.storage import server as ledger_server
from app.storage.connection import connect
from app.storage.ledger import Ledger
from config.environment import Environment, Fault, Misconfigured
from config.settings import WorkerSettings
from workers.auditor import Auditor
from workers.canaries import Canaries
from workers.pipeline import Pipeline
from workers.slots import Slot
from workers.standby import Standby
from workers.station import Station

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
def _slot() -> Slot:
    return Slot(worker=_WORKER)


@cache
def station(provider: str) -> Station:
    """Return this process's station at the provider's inbox, made at first use: after the fork."""
    return make_station(provider, _slot())


@cache
def auditor(provider: str) -> Auditor:
    """Return this process's auditor of the provider, made at first use: after the fork."""
    return Auditor(_inbox(provider), _ledger(provider))


def _inbox(provider: str) -> Inbox:
    return Inbox(server.connect(_settings().redis_url), provider)


def _ledger(provider: str) -> Ledger:
    return Ledger(_settings().database_url, provider, _settings().loss_accepted)


def make_station(provider: str, slot: Slot) -> Station:
    """Return a station at the provider's inbox, with connections of its own."""
    settings = _settings()
    environment = Environment.of_process()
    opener = providers.load(provider, environment)
    environment.check()
    assert opener is not None  # noqa: S101 - else check() has raised
    redis = server.connect(settings.redis_url)
    ledger = _ledger(provider)
    seals = SealingKeys(settings.sealing_keys)
    pipeline = partial(Pipeline, Settler(seals, opener), ledger)
    canaries = Canaries(Inbox(redis, canary.road(provider)), ledger, seals, provider)
    ring = partial(doorbell.Bell(settings.broker_url).ring, provider)
    return Station(Inbox(redis, provider), pipeline, slot, ring, canaries)


@celeryd_init.connect
def _refuse_or_start(**_: Any) -> None:
    """Refuse to start on settings or servers that could lose a delivery. A server that is down is waited for."""
    try:
        environment = Environment.of_process()
        settings = read_worker(environment)
        environment.check()
        faults = _server_faults(settings)
        if faults:
            raise Misconfigured(faults)
    except Misconfigured as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who starts it
        raise SystemExit(78) from error


def _server_faults(settings: WorkerSettings) -> list[Fault]:
    faults = []
    try:
        faults += server.start_faults(server.connect(settings.redis_url), settings.loss_accepted)
        with connect(settings.database_url, "check") as connection:
            faults += ledger_server.start_faults(connection, settings.loss_accepted)
    except Unavailable as error:
        logger.warning("starting all the same", extra={"reason": error.reason, "detail": error.detail})
    return faults


@worker_init.connect
def _start_standby(**_: Any) -> None:
    """Look after the inboxes from the main process too, with connections and a slot that no child shares."""
    slot = Slot(worker=_WORKER)
    Standby([make_station(provider, slot) for provider in _settings().providers], _WORKER).start()


@worker_process_init.connect
def _start_stations(**_: Any) -> None:
    for provider in _settings().providers:
        station(provider).start()
        metrics.STUCK.labels(provider, "not-readable")  # at 0, so that the first increase is seen as one
    gc.freeze()
    gc.set_threshold(_OBJECTS)


@worker_process_shutdown.connect
def _give_slot_back(**_: Any) -> None:
    _slot().release()
