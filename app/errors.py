"""The one error tree.

    KvittoError
    ├── AuthenticationError          not authentic: 401, nothing is kept
    ├── InvalidDeliveryError         the delivery's own fault: becomes a dead letter, never retried
    ├── StoreUnavailableError      a server's fault: nothing is decided, try again later
    ├── DataRejectedError       the database refused a value: the batch is split until the culprit stands alone
    └── ProviderCallError       a provider's API refused a call, or gave no answer that can be used
        ├── AlreadyRegisteredError   one subscription is all that it keeps of this topic
        └── NotRegisteredError       it knows of no such subscription

Every error carries `reason`, a slug that is at once the metric's label, the column and the log key.
Texts never quote a value: they end up in logs and views.
"""

from typing import Self


class KvittoError(Exception):
    """Base of all errors of this project."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class AuthenticationError(KvittoError):
    """The request is not authentic."""


class InvalidDeliveryError(KvittoError):
    """The delivery can never be stored as it is; reasons are listed in REASONS."""


class StoreUnavailableError(KvittoError):
    """A server cannot do its part now."""


class DataRejectedError(KvittoError):
    """The database refused the data of a batch; `detail` is SQLSTATE and constraint."""


class ProviderCallError(KvittoError):
    """A call of a provider's API failed; `detail` is a sentence, `mend` what to do.

    `status` is what was answered, 0 if nothing was. `undecided` tells that it may have been done all the same.
    `again_in` is the seconds after which another try may help and does no harm, None if never.
    """

    def __init__(  # noqa: PLR0913 - what only some failures have goes by its name
        self,
        reason: str,
        detail: str,
        mend: str,
        *,
        status: int = 0,
        undecided: bool = False,
        again_in: float | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.hint = mend
        self.status = status
        self.undecided = undecided
        self.retry_after_seconds = again_in

    @classmethod
    def of(cls, error: "ProviderCallError", mend: str) -> Self:
        """Return a failure as one of this kind."""
        return cls(error.reason, error.detail, mend, status=error.status)

    def __str__(self) -> str:
        return f"{self.detail}. {self.hint}."


class AlreadyRegisteredError(ProviderCallError):
    """The provider keeps one subscription of a topic, and has one."""


class NotRegisteredError(ProviderCallError):
    """The provider has no such subscription."""


# Why a delivery became a dead letter.
CANNOT_OPEN = "cannot-open"
NOT_JSON = "not-json"
INVALID = "invalid"
MISSING_ID = "missing-id"
REJECTED_BY_DATABASE = "rejected-by-database"
WORKER_CRASH = "worker-crash"
REASONS = (CANNOT_OPEN, NOT_JSON, INVALID, MISSING_ID, REJECTED_BY_DATABASE, WORKER_CRASH)
