"""Address of a Redis: one text, parsed once into the parts from which every client is built.

    redis://[user:password@]host[:6379][/database]
    redis+sentinel://[user:password@]host[:26379][,host[:26379]…]/primary[/database]
    unix://[user:password@]/path/of/socket[?db=database]

`rediss://` and `rediss+sentinel://` use TLS.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from config.web_address import is_host, is_port

HINT = "Write it like redis://user:password@host:6379/0, special characters as %XX"
_SENTINEL_HINT = "Write it like redis+sentinel://user:password@host:26379,host2:26379/mymaster/0"
_OPTION_HINT = (
    "Remove it: a database is written at the end as /2, a private certificate authority in CA_FILE, "
    "and Kvitto sets all else itself"
)
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
_PARTS = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_NUMBER = re.compile(r"[0-9]{1,9}")


class RedisAddressError(ValueError):
    """A text is no address; the message quotes no part of it but the names of options, and `hint` says what to do."""

    def __init__(self, message: str, hint: str = HINT) -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is and how to log in.

    hosts: (host, port) of the server, or of each sentinel; empty if `socket_file` is set.
    primary: the name under which the sentinels know the server; empty without sentinels.
    authority: a PEM file with a certificate authority to trust in addition to the system's; empty for none.
    setting: the setting that gave the address; empty if none did.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    tls: bool = False
    socket_file: str = ""
    primary: str = ""
    sentinel_password: str = field(default="", repr=False)
    authority: str = ""
    setting: str = field(default="", compare=False)

    @classmethod
    def parse(cls, url: str, sentinel_password: str = "", authority: str = "") -> "RedisAddress":
        """Return the address that `url` gives; raises RedisAddressError with what is wrong."""
        scheme, _, rest = url.partition("://")
        if scheme not in _SCHEMES:
            raise RedisAddressError("is no redis:// address")
        place, path, query = _split(rest)
        login, _, hosts = place.rpartition("@")
        if re.search(r"[][]", login):  # other programs read a bracket as the beginning of a host
            raise RedisAddressError("cannot be read as an address")
        username, _, password = (unquote(part) for part in login.partition(":"))
        if username and not password:
            raise RedisAddressError("names a user without a password", "Write a password alone as :password@")
        options = parse_qs(query, keep_blank_values=True)
        if scheme == "unix":
            database = _socket_database(hosts, path, options)
            return cls((), username, password, database, socket_file=unquote(path))
        _refuse_options(options)
        tls, path = scheme.startswith("rediss"), path.removeprefix("/")
        if not scheme.endswith("sentinel"):
            return cls((_host(hosts, 6379),), username, password, _database(path), tls, authority=authority)
        primary, _, number = path.partition("/")
        if not _NAME.fullmatch(primary):
            raise RedisAddressError("does not say which primary the sentinels watch", _SENTINEL_HINT)
        sentinels = tuple(_host(text, 26379) for text in hosts.split(","))
        return cls(sentinels, username, password, _database(number), tls, "", primary, sentinel_password, authority)

    @property
    def tls_options(self) -> dict[str, Any]:
        """The only TLS options of any client of redis-py: certificate and host name are always verified."""
        return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": self.authority or None}

    @property
    def kombu_url(self) -> str:
        """The address as kombu writes it, every special character encoded; TLS is an argument of its own there."""
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        if self.socket_file:
            return f"redis+socket://{login}{quote(self.socket_file)}?virtual_host={self.database}"
        scheme = "sentinel" if self.primary else "redis"
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return ";".join(f"{scheme}://{login}{host}/{self.database}" for host in hosts)


def _split(rest: str) -> tuple[str, str, str]:
    """Return login and hosts, path, and query of what follows the scheme.

    The standard library rejects several hosts of which one is in brackets, from Python 3.14 on.
    """
    if not rest.isprintable() or " " in rest:
        raise RedisAddressError("holds a space or a control character")
    parts = _PARTS.fullmatch(rest)
    if parts is None or "@" in parts[2] + (parts[3] or ""):  # a character of the password ended the host
        raise RedisAddressError("cannot be read as an address")
    return parts[1], parts[2], parts[3] or ""


def _host(text: str, default_port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or (match[1] and ":" not in match[1]):
        raise RedisAddressError("cannot be read as an address")
    if not is_host(match[1] or match[2]) or not is_port(match[3] or str(default_port)):
        raise RedisAddressError("cannot be read as an address")
    return match[1] or match[2], int(match[3] or default_port)


def _database(text: str) -> int:
    if text and not _NUMBER.fullmatch(text):
        raise RedisAddressError("cannot be read as an address: its database is no number")
    return int(text or 0)


def _socket_database(hosts: str, path: str, options: dict[str, list[str]]) -> int:
    """Return the database of a socket file's address: the option db, since its path is the file's."""
    if hosts or len(path) < 2 or not unquote(path).isprintable():
        hint = "Write it like unix:///path/of/socket?db=0, with a password unix://:password@/path/of/socket"
        raise RedisAddressError("cannot be read as an address", hint)
    database = options.pop("db", ["0"])
    _refuse_options(options)
    return _database(database[-1])


def _refuse_options(options: dict[str, list[str]]) -> None:
    if options:
        names = ", ".join(name if _NAME.fullmatch(name) else "one without a name" for name in sorted(options))
        raise RedisAddressError(f"has an option that Kvitto does not take: {names}", _OPTION_HINT)
