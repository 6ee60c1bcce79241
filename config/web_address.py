"""Check URLs by their text alone, without any request."""

import ipaddress
from urllib.parse import urlsplit


def address_problem(url: str, schemes: tuple[str, ...] = ("https",)) -> str | None:
    """Return why a URL with one of `schemes` cannot be called, None if it can."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        valid = False
    if not valid:
        return "cannot be read as an address"
    if parts.scheme not in schemes:
        return f"is no {' or '.join(f'{scheme}://' for scheme in schemes)} address"
    if parts.username is not None or parts.fragment:
        return "holds a user, a password or a fragment"
    return None


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is the calling machine itself."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
