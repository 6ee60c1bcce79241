"""Audits one provider's books while it is served, keeps the result, and speaks up when something is missing."""

import logging

from app.audit.conservation import ProviderBalance, audit
from app.errors import StoreUnavailableError
from app.inbox.stream import Inbox
from app.storage import audit_results
from app.storage.ledger import Ledger

logger = logging.getLogger(__name__)


class AuditTask:
    """Audits with a worker's own connections."""

    def __init__(self, inbox: Inbox, ledger: Ledger) -> None:
        self._inbox = inbox
        self._ledger = ledger

    def audit(self) -> None:
        """Audit now; without a server there is nothing to compare, and the kept result grows old for all to see."""
        try:
            with self._ledger.connected() as connection:
                account = audit(connection, self._inbox)
                if audit_results.record(connection, account.row()):
                    _tell(account)
                if account.outcomes.miscounted:
                    logger.error("receipt_counts_mismatch", extra={"provider": account.provider})
        except StoreUnavailableError as error:
            logger.warning(
                "not audited",
                extra={"provider": self._inbox.provider, "reason": error.reason, "detail": error.detail},
            )


def _tell(account: ProviderBalance) -> None:
    epochs = {str(life.epoch): life.missing for life in account.epochs if life.missing}
    logger.error(
        "deliveries are missing: see kvitto audit",
        extra={"provider": account.provider, "missing": account.missing, "epochs": epochs},
    )
