"""kombu's transports for Redis, with connections that leave a demoted server; config.celery names them to kombu."""

from kombu.transport import redis

from app.inbox.connections import SentinelTcpConnection, SentinelTlsConnection, TcpConnection, TlsConnection


class _Channel(redis.Channel):
    connection_class = TcpConnection
    connection_class_ssl = TlsConnection


class Transport(redis.Transport):
    """To one server."""

    Channel = _Channel


class _SentinelChannel(redis.SentinelChannel):
    connection_class = SentinelTcpConnection
    connection_class_ssl = SentinelTlsConnection


class SentinelTransport(redis.SentinelTransport):
    """To the server that the sentinels name."""

    Channel = _SentinelChannel
