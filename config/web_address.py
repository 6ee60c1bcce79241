"""Check hosts and URLs by their text alone, without any request."""

import ipaddress
import re
from urllib.parse import urlsplit

# Names that no label of which is empty or too long: Python raises no OSError for others, but a UnicodeError.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_MAX_NAME_LENGTH = 253


def is_host(text: str) -> bool:
    """Return whether a text is an IP address, or a name that can be looked up; other scripts as xn--…."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= _MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None
    return True


def is_port(text: str) -> bool:
    """Return whether a text is the number of a port that can be called."""
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def address_problem(url: str, schemes: tuple[str, ...] = ("https",)) -> str | None:
    """Return why a URL with one of `schemes` cannot be called, None if it can."""
    try:
        parts = urlsplit(url)
        valid = is_host(parts.hostname or "") and parts.port != 0 and url.isprintable() and " " not in url
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
