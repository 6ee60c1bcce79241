"""Solaris' settings, and generated values for a developer's machine."""

import secrets

from config.declarations import Setting

SETTINGS = (
    Setting(
        "SOLARIS_SECRETS",
        "List of `EVENT_TYPE=secret`; a type may occur twice while its secret is replaced",
        secret=True,
    ),
    Setting("SOLARIS_API_URL", "Solaris' API", "https://api.solarisbank.de"),
    Setting("SOLARIS_AUTH_URL", "Server that issues the API's access tokens", "https://auth.solarisbank.de"),
    Setting("SOLARIS_CLIENT_ID", "Client that requests access tokens"),
    Setting("SOLARIS_CLIENT_SECRET", "Secret of that client", secret=True),
)

_EVENT_TYPES = (
    "FREELANCER_CREDIT_LINE_APPLICATION",
    "FREELANCER_OVERDRAFT_INTEREST_RATE_CHANGE",
    "INCOMING_REJECTED_TRANSACTION",
)


def development_secrets() -> dict[str, str]:
    """Return generated secrets for a developer's machine."""
    return {"SOLARIS_SECRETS": ",".join(f"{event_type}={secrets.token_hex(16)}" for event_type in _EVENT_TYPES)}
