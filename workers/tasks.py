"""The Celery tasks. They carry no delivery: a lost or repeated task costs or saves a moment only."""

import logging
from datetime import timedelta

from app.audit import conservation
from app.audit.conservation import ProviderBalance
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks, partitions, periods
from app.storage.connection import Connection
from app.storage.retention import PostponedError, Retention
from workers import lifecycle, silence_watch
from workers.celery import app
from workers.consumer import InboxConsumer

# So many marks cost an audit nothing.
_MANY_MARKS = 100
# A consumer that has not read for so long and holds no claim is another host's, or a slot that is no longer used.
_DEAD_AFTER = timedelta(days=1)
logger = logging.getLogger(__name__)


@app.task(name="drain")
def drain(provider: str) -> None:
    """Empty the provider's inbox after a wake-up."""
    try:
        lifecycle.consumer(provider).drain()
    except Exception:
        logger.exception("drain_failed", extra={"provider": provider})


@app.task(name="sweep")
def sweep(provider: str) -> None:
    """Empty the provider's inbox on schedule, without a wake-up."""
    try:
        lifecycle.consumer(provider).sweep()
    except Exception:
        logger.exception("sweep_failed", extra={"provider": provider})


@app.task(name="audit")
def audit(provider: str) -> None:
    """Account for every entry that the provider's inbox ever held."""
    try:
        _audit(lifecycle.consumer(provider), {"provider": provider})
    except Exception:
        logger.exception("audit_failed", extra={"provider": provider})


@app.task(name="silence")
def silence(provider: str) -> None:
    """Find out whether the provider has been silent for longer than chance explains."""
    settings = lifecycle.worker_settings()
    try:
        with lifecycle.consumer(provider).ledger.connected() as connection:
            silence_watch.watch(connection, provider, settings.time_zone, settings.quiet_hours)
    except StoreUnavailableError:
        return  # the audit logs it
    except Exception:
        logger.exception("silence_watch_failed", extra={"provider": provider})


@app.task(name="retain")
def retain(provider: str) -> None:
    """Make the partitions of the next months, and remove what is older than its limit."""
    try:
        _retain(lifecycle.consumer(provider))
    except Exception:
        logger.exception("retention_failed", extra={"provider": provider})


def _retain(consumer: InboxConsumer) -> None:
    provider = consumer.inbox.provider
    try:
        with consumer.ledger.connected() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '60ms'")
            partitions.create(connection)
        consumer.inbox.remove_idle_consumers(_DEAD_AFTER)
        consumer.canaries.inbox.remove_idle_consumers(_DEAD_AFTER)
        for removed in Retention(consumer.ledger, provider, lifecycle.retention()).apply():
            context = {"provider": removed.provider, "kind": removed.what, "rows": removed.rows}
            logger.info("retention_removed", extra=context)
    except StoreUnavailableError as error:
        logger.warning("retention_postponed", extra={"provider": provider, "reason": error.reason})
    except PostponedError as error:
        logger.info("retention_postponed", extra={"provider": provider, "reason": str(error)})


def _audit(consumer: InboxConsumer, context: dict[str, object]) -> None:
    """Audit, store the result, and log an error if deliveries are missing.

    While a server is unavailable nothing is stored; the console shows the age of the last result.
    """
    try:
        with consumer.ledger.connected() as connection:
            periods.recount(connection, consumer.inbox.provider)
            balance = conservation.audit(connection, consumer.inbox)
            must_alert = audits.record(connection, balance.row())
            _close_marks(connection, consumer.inbox, balance)
        consumer.ledger.close_periods()
    except StoreUnavailableError as error:
        logger.warning("audit_skipped", extra=context | {"reason": error.reason, "detail": error.detail})
        return
    if must_alert:
        epochs = {str(epoch.epoch): epoch.missing for epoch in balance.epochs if epoch.missing}
        missing = {"missing": balance.missing, "epochs": epochs, "hint": "run kvitto audit"}
        logger.error("deliveries_missing", extra=context | missing)


def _close_marks(connection: Connection, inbox: Inbox, balance: ProviderBalance) -> None:
    """Forget the marks that the ledger confirmed, and end the current epoch if it lost something.

    No later mark of an epoch with a loss can be confirmed, so that they would pile up.
    """
    current = inbox.mark().epoch
    if any(epoch.lost for epoch in balance.epochs if epoch.epoch == current):
        inbox.end_epoch(current, newest=max(epoch.epoch for epoch in balance.epochs))
    if high_water_marks.count(connection, inbox.provider) > _MANY_MARKS:
        high_water_marks.forget_confirmed(connection, inbox.provider)
