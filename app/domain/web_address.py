"""Judges web addresses without asking anyone."""

import ipaddress
from urllib.parse import urlsplit


def address_problem(url: str, schemes: tuple[str, ...] = ("https",)) -> str | None:
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
