"""The one error tree.

    KvittoError
    ├── Refused          not authentic: 401, nothing is kept
    ├── Rejected         the delivery's own fault: becomes a dead letter, never retried
    ├── Unavailable      a server's fault: nothing is decided, try again later
    └── Unstorable       the database refused a value: the batch is split until the culprit stands alone

Every error carries `reason`, a slug that is at once the metric's label, the column and the log key.
Texts never quote a value: they end up in logs and views.
"""


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


# Why a delivery became a dead letter.
CANNOT_OPEN = "cannot-open"
NOT_JSON = "not-json"
INVALID = "invalid"
NO_ENTITY = "no-entity"
CANNOT_STORE = "cannot-store"
KILLS_WORKERS = "kills-workers"
REASONS = (CANNOT_OPEN, NOT_JSON, INVALID, NO_ENTITY, CANNOT_STORE, KILLS_WORKERS)
