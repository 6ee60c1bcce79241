"""Logins of the sandbox's APIs, generated once and kept, and the secrets that Kompar's deliveries carry."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from app.local import atomic_file
from app.sandbox import hook_config
from config.environment import Environment

# The settings of a client that subscribes; each is kept in a file of that name.
LOGINS = ("KOMPAR_API_USERNAME", "KOMPAR_API_PASSWORD", "SOLARIS_CLIENT_ID", "SOLARIS_CLIENT_SECRET")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Logins are pairs of name and secret."""

    kompar_login: tuple[str, str] = field(repr=False)
    solaris_client: tuple[str, str] = field(repr=False)
    delivery_token: str = field(repr=False)
    delivery_key: str = field(repr=False)

    @classmethod
    def read(cls, environment: Environment, folder: Path) -> "Credentials":
        """Read the receiver's KOMPAR_TOKENS and KOMPAR_KEYS, and the logins in `folder`, which are created if missing.

        Raises:
            ConfigurationError: A secret of the receiver is missing or invalid.
        """
        delivery = hook_config.kompar_secrets(environment)
        environment.check()
        new_values = ("lender", secrets.token_urlsafe(24), secrets.token_hex(16), secrets.token_urlsafe(24))
        username, password, client_id, client_secret = (
            atomic_file.keep(folder / name, value.encode()).decode().strip()
            for name, value in zip(LOGINS, new_values, strict=True)
        )
        return cls((username, password), (client_id, client_secret), *delivery)
