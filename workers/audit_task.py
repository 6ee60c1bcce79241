"""The audit of one provider: is every entry that its inbox ever held in the ledger?"""

import logging

from app.audit import conservation
from app.audit.conservation import ProviderBalance
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import audits, high_water_marks, periods
from app.storage.connection import Connection
from workers.consumer import InboxConsumer

# Above this number, marks that the ledger confirms are deleted. An audit hardly notices so few.
_MANY_MARKS = 100
logger = logging.getLogger(__name__)


def run(consumer: InboxConsumer) -> None:
    """Audit, store the result, and log an error if deliveries are missing.

    While a server is unavailable nothing is stored; the console shows the age of the last result.
    """
    context: dict[str, object] = {"provider": consumer.inbox.provider}
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
