"""Connections to Redis: they leave a server that is not the primary, and give a large command the time that it needs.

After a fail-over the demoted server answers on, and refuses every write. A connection that stayed open would keep its
process there for good; a new one reaches the promoted server. redis-py's clients and kombu's broker both use these.

    ConnectionError (redis-py)
    ├── NotPrimaryError            the server takes no writes now
    └── UntrustedCertificateError  the password was not sent
"""

import ssl
from collections.abc import Sequence
from typing import Any

from redis import Connection, SSLConnection, UnixDomainSocketConnection, exceptions
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from config.network import seconds_to_send

# UNBLOCKED: a server that is demoted ends the waiting commands. NOREPLICAS: it was cut off from its replicas.
_NOT_PRIMARY = ("READONLY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED")
_OTHER_NAME = (62, 64)  # OpenSSL's codes of a certificate for another host name or IP address
_EXPIRED = 10


class NotPrimaryError(exceptions.ConnectionError):
    """The server takes no writes; another one may have been promoted."""


class UntrustedCertificateError(exceptions.ConnectionError):
    """The server's certificate was not verified. The message says why, in our own words."""


def error_code(error: exceptions.RedisError) -> str:
    """Return the code of an error that a server answered, READONLY for example. The message behind it quotes values."""
    # redis-py removes the codes that it knows, and a pipeline puts its command in front.
    return error.status_code or str(error).rpartition("caused error: ")[2].partition(" ")[0]


class _OwnBehaviour:
    """Mixin for redis-py's connections."""

    def connect(self) -> None:
        """Connect and log in."""
        try:
            super().connect()  # type: ignore[misc]
        except exceptions.ConnectionError as error:
            if isinstance(cause := error.__context__, ssl.SSLCertVerificationError):
                raise UntrustedCertificateError(_why_untrusted(cause)) from error
            raise

    def send_packed_command(self, command: str | Sequence[bytes], *args: Any, **options: Any) -> None:
        """Send a command. It and its reply have the connection's time-out, and what its size needs.

        redis-py has one time-out for all commands, and it bounds the sending of a whole value.
        """
        seconds = self.socket_timeout + seconds_to_send(sum(map(len, command)))  # type: ignore[attr-defined]
        self.update_current_socket_timeout(seconds)  # type: ignore[attr-defined]
        super().send_packed_command(command, *args, **options)  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return the reply; raise NotPrimaryError, with the connection closed, if the server is not the primary."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except exceptions.BusyLoadingError:
            self.disconnect()  # type: ignore[attr-defined]
            raise
        except exceptions.ResponseError as error:
            if (code := error_code(error)) not in _NOT_PRIMARY:
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise NotPrimaryError(code) from error


class TcpConnection(_OwnBehaviour, Connection):
    """By TCP."""


class TlsConnection(_OwnBehaviour, SSLConnection):
    """By TLS."""


class SocketFileConnection(_OwnBehaviour, UnixDomainSocketConnection):
    """By a socket file."""


class SentinelTcpConnection(_OwnBehaviour, SentinelManagedConnection):
    """By TCP, to the server that the sentinels name."""


class SentinelTlsConnection(_OwnBehaviour, SentinelManagedSSLConnection):
    """By TLS, to the server that the sentinels name."""


class SentinelPool(SentinelConnectionPool):
    """Connections to the server that the sentinels name."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close idle connections; with `inuse_connections` all, those to the sentinels too."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinel_manager.close()


def _why_untrusted(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAME:
        return "its certificate is for another name"
    if error.verify_code == _EXPIRED:
        return "its certificate has expired"
    return "no authority that is trusted here issued its certificate"
