"""The error tree.

    KvittoError
    ├── AuthenticationError          the request is not authentic: 401, nothing is stored
    ├── NotReceivedError             the body did not arrive: 503, nothing is stored, the sender tries again
    ├── InvalidDeliveryError         the delivery itself is invalid: it becomes a dead letter and is never retried
    ├── StoreUnavailableError        Redis or Postgres failed: nothing is decided, retry later
    ├── SignInError                  a person cannot sign in to the console by OpenID Connect
    ├── DataRejectedError            Postgres rejected a value: the batch is bisected down to the delivery
    └── ProviderCallError            a provider's API refused a call or gave no usable answer
        ├── AlreadyRegisteredError   the provider keeps one subscription per topic, and has one
        └── NotRegisteredError       the provider has no such subscription

Every error carries `reason`, a slug that is the metric's label, the database column and the log key.
Messages never quote a value, because they end up in logs and views.
"""

from collections.abc import Iterable
from typing import Self
from uuid import UUID


class KvittoError(Exception):
    """Base of all errors of this project."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class AuthenticationError(KvittoError):
    """The request is not authentic."""


class NotReceivedError(KvittoError):
    """The body of a request did not arrive whole, in time or at all."""


class InvalidDeliveryError(KvittoError):
    """The delivery can never be stored in its present form; REASONS lists the reasons.

    `key_ids` are the keys that opened its body, or failed to.
    """

    def __init__(self, reason: str, detail: str = "", key_ids: Iterable[str] = ()) -> None:
        super().__init__(reason, detail)
        self.key_ids = tuple(key_ids)


def opened_with(key_id: str | None, error: InvalidDeliveryError) -> InvalidDeliveryError:
    """Return a copy of an error that names the key that opened the body. It has no traceback, which holds content."""
    opener = f" (opened with key {key_id})" if key_id else ""
    return InvalidDeliveryError(error.reason, f"{error.detail}{opener}", [key_id] if key_id else error.key_ids)


class StoreUnavailableError(KvittoError):
    """A server cannot do its part at the moment. `receipt` is that of a delivery that was not confirmed."""

    receipt: UUID | None = None


class DataRejectedError(KvittoError):
    """The database rejected the data of a batch; `detail` is SQLSTATE and constraint."""


class SignInError(KvittoError):
    """A person cannot sign in by OpenID Connect; `detail` is a sentence, `hint` says what to do.

    The identity provider, or its settings, are at fault if `reason` begins with `issuer-`.
    """

    def __init__(self, reason: str, detail: str, hint: str) -> None:
        super().__init__(reason, detail)
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}. {self.hint}."


class ProviderCallError(KvittoError):
    """A call of a provider's API failed; `detail` is a sentence, `hint` says what to do.

    status: HTTP status of the answer, 0 without one.
    undecided: whether the provider may have carried the call out nevertheless.
    retry_after_seconds: when a retry is safe and may succeed; None if never.
    """

    def __init__(  # noqa: PLR0913 - the options are keywords
        self,
        reason: str,
        detail: str,
        hint: str,
        *,
        status: int = 0,
        undecided: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.hint = hint
        self.status = status
        self.undecided = undecided
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of(cls, error: "ProviderCallError", hint: str, detail: str = "") -> Self:
        """Return `error` as an error of this class, with another hint and perhaps another detail. It is not retried."""
        return cls(error.reason, detail or error.detail, hint, status=error.status, undecided=error.undecided)

    def __str__(self) -> str:
        return f"{self.detail}. {self.hint}."


class AlreadyRegisteredError(ProviderCallError):
    """The provider keeps one subscription per topic, and has one."""


class NotRegisteredError(ProviderCallError):
    """The provider has no such subscription."""


# Why a delivery is a dead letter.
BAD_ENVELOPE = "bad-envelope"
WRONG_KEY = "wrong-key"
NOT_JSON = "not-json"
INVALID = "invalid"
MISSING_ID = "missing-id"
REJECTED_BY_DATABASE = "rejected-by-database"
WORKER_CRASH = "worker-crash"
REASONS = (BAD_ENVELOPE, WRONG_KEY, NOT_JSON, INVALID, MISSING_ID, REJECTED_BY_DATABASE, WORKER_CRASH)
