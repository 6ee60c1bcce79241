"""Generated secrets for a developer's machine."""

import secrets

_EVENT_TYPES = (
    "FREELANCER_CREDIT_LINE_APPLICATION",
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE",
    "INCOMING_REJECTED_TRANSACTION",
)


def development_secrets() -> dict[str, str]:
    """Return generated secrets for a developer's machine."""
    return {"SOLARIS_SECRETS": ",".join(f"{event_type}={secrets.token_hex(16)}" for event_type in _EVENT_TYPES)}
