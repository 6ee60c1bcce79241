"""kombu's transports for Redis; config.celery names them to kombu.

Their connections leave a demoted server, and log in with the password that a secret file holds when they are made.
"""

from typing import Any

from kombu.transport import redis

from app.inbox.connections import SentinelTcpConnection, SentinelTlsConnection, TcpConnection, TlsConnection
from config.redis_login import login_options


class _LogsIn:
    """Mixin for kombu's channels."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]
        options = self.connection.client.transport_options  # type: ignore[attr-defined]
        return {**parameters, "username": None, "password": None, **login_options(options["address"])}


class _Channel(_LogsIn, redis.Channel):
    connection_class = TcpConnection
    connection_class_ssl = TlsConnection


class Transport(redis.Transport):
    """To one server."""

    Channel = _Channel


class _SentinelChannel(_LogsIn, redis.SentinelChannel):
    connection_class = SentinelTcpConnection
    connection_class_ssl = SentinelTlsConnection


class SentinelTransport(redis.SentinelTransport):
    """To the server that the sentinels name."""

    Channel = _SentinelChannel
