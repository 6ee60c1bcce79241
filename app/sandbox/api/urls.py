"""What providers demand of the URL that they are to deliver to."""

from typing import Literal
from urllib.parse import urlsplit


def fault(url: object) -> Literal["missing", "no text", "invalid", "no https"] | None:
    """Return what is wrong with a receiver's URL."""
    if url is None:
        return "missing"
    if not isinstance(url, str):
        return "no text"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in url:
        return "invalid"
    return None if parts.scheme == "https" else "no https"
