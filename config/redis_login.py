"""How a client of redis-py logs in: a secret in a file is read again for each connection."""

import os
from typing import Any

from redis import CredentialProvider

from config.redis_address import RedisAddress
from config.secret_files import current_login


class _Login(CredentialProvider):
    """User and password of a server."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        current = current_login(self._address)
        return (current.username, current.password) if current.username else (current.password,)


class _SentinelLogin(_Login):
    """Password of its sentinels."""

    def get_credentials(self) -> tuple[str]:
        return (current_login(self._address).sentinel_password,)


def login_options(address: RedisAddress) -> dict[str, Any]:
    """Return how any client of redis-py logs in to the server of an address."""
    if address.password and f"{address.setting}_FILE" in os.environ:
        return {"credential_provider": _Login(address)}
    return {"username": address.username or None, "password": address.password or None}


def sentinel_login_options(address: RedisAddress) -> dict[str, Any]:
    """Return how any client of redis-py logs in to the sentinels of an address."""
    if address.sentinel_password and "REDIS_SENTINEL_PASSWORD_FILE" in os.environ:
        return {"credential_provider": _SentinelLogin(address)}
    return {"password": address.sentinel_password or None}
