"""Kompar's settings, and generated values for a developer's machine."""

import secrets

from config.declarations import Setting

SETTINGS = (
    Setting("KOMPAR_TOKENS", "List of tokens of Kompar's requests; all are valid at once", secret=True),
    Setting(
        "KOMPAR_KEYS",
        "List of `id=key`, newest first; all are tried. A key is the 32-character text as Kompar sent it",
        secret=True,
    ),
    Setting(
        "KOMPAR_API_URL",
        "Kompar's API; the test environment is `https://api.kompar.se/test`",
        "https://api.kompar.se",
    ),
    Setting("KOMPAR_API_USERNAME", "User name of the login at Kompar's API"),
    Setting("KOMPAR_API_PASSWORD", "Password of that login", secret=True),
)


def development_secrets() -> dict[str, str]:
    """Return generated secrets for a developer's machine."""
    return {
        "KOMPAR_TOKENS": secrets.token_urlsafe(24),
        "KOMPAR_KEYS": f"development={secrets.token_hex(16)}",
    }
