"""Audits one provider in a running worker, stores the result, and logs an error if deliveries are missing."""

import logging

from app.audit.conservation import audit
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import audits
from app.storage.ledger import Ledger

logger = logging.getLogger(__name__)


def run_audit(inbox: Inbox, ledger: Ledger) -> None:
    """Audit now. While a server is unavailable nothing is stored; the console shows the age of the last result."""
    context: dict[str, object] = {"provider": inbox.provider}
    try:
        with ledger.connected() as connection:
            balance = audit(connection, inbox)
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
