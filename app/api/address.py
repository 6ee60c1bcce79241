"""Where APIs are, by HTTPS alone, and receivers."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.environment import Environment
from config.settings import trusted_authority


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where an API is, by the setting that says so; `authority` is a file with one to trust besides the usual ones."""

    setting: str
    url: str
    authority: str = ""

    @classmethod
    def read(cls, environment: Environment, setting: str, default: str) -> "ApiAddress":
        """Read the setting, which must be an HTTPS address, and TRUSTED_AUTHORITY."""
        url = environment.url(setting, ("https",), default).rstrip("/")
        if url and (problem := fault(url)):
            environment.fault(setting, problem, "Write it like https://host/path")
        return cls(setting, url, trusted_authority(environment))


def fault(url: str, schemes: tuple[str, ...] = ("https",)) -> str | None:
    """Return why a URL is none that may be called by one of the schemes, None if it is one."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        sound = False
    if not sound:
        return "cannot be read as an address"
    if parts.scheme not in schemes:
        return f"is no {' or '.join(f'{scheme}://' for scheme in schemes)} address"
    if parts.username is not None or parts.fragment:
        return "holds a user, a password or a fragment"
    return None


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to the machine itself that calls it."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified
