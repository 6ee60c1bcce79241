"""The one error tree.

    KvittoError
    ├── Refused          not authentic: 401, nothing is kept
    ├── Rejected         the delivery's own fault: becomes a dead letter, never retried
    ├── Unavailable      a server's fault: nothing is decided, try again later
    ├── Unstorable       the database refused a value: the batch is split until the culprit stands alone
    └── CallFailed       a provider's API refused a call, or gave no answer that can be used
        ├── AlreadyRegistered   one subscription is all that it keeps of this topic
        └── NotRegistered       it knows of no such subscription

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


class Refused(KvittoError):  # noqa: N818 - reads as what happened
    """The request is not authentic."""


class Rejected(KvittoError):  # noqa: N818
    """The delivery can never be stored as it is; reasons are listed in REASONS."""


class Unavailable(KvittoError):  # noqa: N818
    """A server cannot do its part now."""


class Unstorable(KvittoError):  # noqa: N818
    """The database refused the data of a batch; `detail` is SQLSTATE and constraint."""


class CallFailed(KvittoError):  # noqa: N818
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
        self.mend = mend
        self.status = status
        self.undecided = undecided
        self.again_in = again_in

    @classmethod
    def of(cls, error: "CallFailed", mend: str) -> Self:
        """Return a failure as one of this kind."""
        return cls(error.reason, error.detail, mend, status=error.status)

    def __str__(self) -> str:
        return f"{self.detail}. {self.mend}."


class AlreadyRegistered(CallFailed):
    """The provider keeps one subscription of a topic, and has one."""


class NotRegistered(CallFailed):
    """The provider has no such subscription."""


# Why a delivery became a dead letter.
CANNOT_OPEN = "cannot-open"
NOT_JSON = "not-json"
INVALID = "invalid"
NO_ENTITY = "no-entity"
CANNOT_STORE = "cannot-store"
KILLS_WORKERS = "kills-workers"
REASONS = (CANNOT_OPEN, NOT_JSON, INVALID, NO_ENTITY, CANNOT_STORE, KILLS_WORKERS)
