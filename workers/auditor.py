"""Audits one provider's books while it is served, keeps the result, and speaks up when something is missing."""

import logging

from app.audit import Account, audit
from app.errors import Unavailable
from app.inbox import Inbox
from app.storage import audits
from app.storage.ledger import Ledger

logger = logging.getLogger(__name__)


class Auditor:
    """Audits with a worker's own connections."""

    def __init__(self, inbox: Inbox, ledger: Ledger) -> None:
        self._inbox = inbox
        self._ledger = ledger

    def audit(self) -> None:
        """Audit now; without a server there is nothing to compare, and the kept result grows old for all to see."""
        try:
            with self._ledger.connected() as connection:
                account = audit(connection, self._inbox)
                if audits.note(connection, account.row()):
                    _tell(account)
                if account.outcomes.miscounted:
                    logger.error("kept counts are wrong: see kvitto audit", extra={"provider": account.provider})
        except Unavailable as error:
            logger.warning(
                "not audited",
                extra={"provider": self._inbox.provider, "reason": error.reason, "detail": error.detail},
            )


def _tell(account: Account) -> None:
    epochs = {str(life.epoch): life.missing for life in account.lives if life.missing}
    logger.error(
        "deliveries are missing: see kvitto audit",
        extra={"provider": account.provider, "missing": account.missing, "epochs": epochs},
    )
