"""Audits one provider in a running worker, stores the result, and logs an error if deliveries are missing."""

import logging

from app.audit.conservation import audit
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import audit_results
from app.storage.ledger import Ledger

logger = logging.getLogger(__name__)


class AuditTask:
    """Audits one provider over a worker's own connections."""

    def __init__(self, inbox: Inbox, ledger: Ledger) -> None:
        self._inbox = inbox
        self._ledger = ledger

    def audit(self) -> None:
        """Audit now. While a server is unavailable nothing is stored; the console shows the last result's age."""
        provider = self._inbox.provider
        try:
            with self._ledger.connected() as connection:
                balance = audit(connection, self._inbox)
                must_alert = audit_results.record(connection, balance.row())
        except StoreUnavailableError as error:
            unavailable = {"provider": provider, "reason": error.reason, "detail": error.detail}
            logger.warning("audit_skipped", extra=unavailable)
            return
        if must_alert:
            epochs = {str(epoch.epoch): epoch.missing for epoch in balance.epochs if epoch.missing}
            missing = {"provider": provider, "missing": balance.missing, "epochs": epochs, "hint": "run kvitto audit"}
            logger.error("deliveries_missing", extra=missing)
        if balance.outcomes.miscounted:
            logger.error("receipt_counts_mismatch", extra={"provider": provider})
