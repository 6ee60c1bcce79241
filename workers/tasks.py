"""The Celery tasks. They carry no delivery: a lost or repeated task costs or saves a moment only."""

import logging

from app.audit import conservation
from app.errors import StoreUnavailableError
from app.storage import audits
from workers import lifecycle
from workers.celery import app
from workers.consumer import InboxConsumer

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


def _audit(consumer: InboxConsumer, context: dict[str, object]) -> None:
    """Audit, store the result, and log an error if deliveries are missing.

    While a server is unavailable nothing is stored; the console shows the age of the last result.
    """
    try:
        with consumer.ledger.connected() as connection:
            balance = conservation.audit(connection, consumer.inbox)
            must_alert = audits.record(connection, balance.row())
    except StoreUnavailableError as error:
        logger.warning("audit_skipped", extra=context | {"reason": error.reason, "detail": error.detail})
        return
    if must_alert:
        epochs = {str(epoch.epoch): epoch.missing for epoch in balance.epochs if epoch.missing}
        missing = {"missing": balance.missing, "epochs": epochs, "hint": "run kvitto audit"}
        logger.error("deliveries_missing", extra=context | missing)
    if balance.outcomes.miscounted:
        logger.error("receipt_counts_mismatch", extra=context)
