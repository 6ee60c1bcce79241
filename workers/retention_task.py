"""Retention of one provider: partitions for the months to come, and an end to what is older than its limit."""

import logging
from datetime import timedelta

from app.errors import StoreUnavailableError
from app.storage import partitions
from app.storage.retention import Limits, PostponedError, Retention
from workers.consumer import InboxConsumer

# A consumer that has not read for so long and holds no claim is another host's, or a slot that is no longer used.
_DEAD_AFTER = timedelta(days=1)
logger = logging.getLogger(__name__)


def run(consumer: InboxConsumer, limits: Limits, dead_after: timedelta = _DEAD_AFTER) -> None:
    """Make partitions, and remove dead consumers and old rows. What has to wait waits for the next run."""
    provider = consumer.inbox.provider
    try:
        with consumer.ledger.connected() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '60ms'")
            partitions.create(connection)
        consumer.inbox.remove_idle_consumers(dead_after)
        consumer.canaries.inbox.remove_idle_consumers(dead_after)
        for removed in Retention(consumer.ledger, provider, limits).apply():
            context = {"provider": removed.provider, "kind": removed.what, "rows": removed.rows}
            logger.info("retention_removed", extra=context)
    except StoreUnavailableError as error:
        logger.warning("retention_postponed", extra={"provider": provider, "reason": error.reason})
    except PostponedError as error:
        logger.info("retention_postponed", extra={"provider": provider, "reason": str(error)})
