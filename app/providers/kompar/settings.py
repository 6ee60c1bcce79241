"""The keys that decrypt Kompar's bodies."""

import secrets
from dataclasses import dataclass

from config.declarations import Setting
from config.environment import Environment

SETTINGS = (
    Setting("KOMPAR_TOKENS", "Comma-separated tokens of Kompar's requests; all are valid at once", secret=True),
    Setting(
        "KOMPAR_KEYS",
        "Comma-separated `id=key`, newest first; all are tried. A key is the 32-character text as Kompar sent it",
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


@dataclass(frozen=True, slots=True)
class KomparSettings:
    """`keys`: (id, 32 bytes), newest first. Kompar gives a key as a text of 32 characters, used unchanged."""

    keys: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, environment: Environment) -> "KomparSettings":
        """Read KOMPAR_KEYS, `id=key` pairs."""
        keys = tuple((key_id, value.encode()) for key_id, value in environment.labelled_secrets("KOMPAR_KEYS"))
        for key_id, key in keys:
            if len(key) != 32:
                hint = "Give the 32-character text as Kompar sent it"
                environment.fault("KOMPAR_KEYS", f"{key_id} has {len(key)} characters", hint)
        return cls(keys)


def development_secrets() -> dict[str, str]:
    """Return generated secrets for a developer's machine."""
    return {
        "KOMPAR_TOKENS": secrets.token_urlsafe(24),
        "KOMPAR_KEYS": f"development={secrets.token_hex(16)}",
    }
