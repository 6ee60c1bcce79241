"""What clients of the sandbox's APIs log in with, and what Kompar's deliveries carry: made up once, and kept."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from app.local import atomic_file
from app.sandbox import hook_config
from config.environment import Environment

# Whoever subscribes logs in with these; each is a file by the name of the setting that it is for.
LOGINS = ("KOMPAR_API_USERNAME", "KOMPAR_API_PASSWORD", "SOLARIS_CLIENT_ID", "SOLARIS_CLIENT_SECRET")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Logins are pairs: who, and the secret."""

    kompar_login: tuple[str, str] = field(repr=False)
    solaris_client: tuple[str, str] = field(repr=False)
    delivery_token: str = field(repr=False)
    delivery_key: str = field(repr=False)

    @classmethod
    def read(cls, environment: Environment, folder: Path) -> "Credentials":
        """Read what the receiver was given, KOMPAR_TOKENS and KOMPAR_KEYS, and the logins kept in `folder`.

        A login is a file by the name of the setting that it is for: KOMPAR_API_USERNAME_FILE may name it.
        """
        delivery = hook_config.kompar_secrets(environment)
        environment.check()
        assert delivery is not None  # noqa: S101 - or else a fault was noted
        kompar = _kept(folder, "KOMPAR_API_USERNAME", "lender"), _kept(folder, "KOMPAR_API_PASSWORD", _secret())
        client = secrets.token_hex(16)
        solaris = _kept(folder, "SOLARIS_CLIENT_ID", client), _kept(folder, "SOLARIS_CLIENT_SECRET", _secret())
        return cls(kompar, solaris, *delivery)


def _kept(folder: Path, name: str, value: str) -> str:
    return atomic_file.keep(folder / name, value.encode()).decode().strip()


def _secret() -> str:
    return secrets.token_urlsafe(24)
