"""The audit: every entry ever appended to an inbox or the overflow is a receipt, a copy of one, or in flight."""

from dataclasses import asdict, dataclass
from typing import Any

from app.inbox import Inbox
from app.storage import conservation
from app.storage.connection import Connection

COLUMNS = (
    "provider",
    "appended",
    "overflowed",
    "receipts",
    "copies",
    "in_flight",
    "missing",
    "stored",
    "duplicate",
    "dead",
)


@dataclass(frozen=True, slots=True)
class Account:
    """One provider's books: appended + overflowed = receipts + copies + in_flight + missing, and missing must be 0."""

    provider: str
    appended: int
    overflowed: int
    receipts: int
    copies: int
    in_flight: int
    stored: int
    duplicate: int
    dead: int

    @property
    def missing(self) -> int:
        """Entries that nobody can account for; negative when there are more than were appended."""
        return self.appended + self.overflowed - self.receipts - self.copies - self.in_flight

    def row(self) -> dict[str, Any]:
        """Return the account as a row to print."""
        return asdict(self) | {"missing": self.missing}


def audit(connection: Connection, inbox: Inbox) -> Account:
    """Account for one provider's inbox while it is in use.

    The inbox is read first, the ledger after it, in one snapshot: an entry is deleted only after its
    commit, so each one appended by then is seen waiting, or in the ledger, or both (counted once).
    """
    census = inbox.census()
    waiting = inbox.positions(census.last)
    found = conservation.accounts(connection, inbox.provider, census.epoch, census.last, waiting)
    overflow = conservation.overflowed(connection, inbox.provider)
    outcomes = conservation.outcomes(connection).get(inbox.provider, {})
    return Account(
        provider=inbox.provider,
        appended=census.appended,
        overflowed=overflow.rows,
        receipts=found.receipts + overflow.accounts.receipts,
        copies=found.copies + overflow.accounts.copies,
        in_flight=found.unsettled + overflow.accounts.unsettled,
        stored=outcomes.get("stored", 0),
        duplicate=outcomes.get("duplicate", 0),
        dead=outcomes.get("dead", 0),
    )
