"""What the APIs require of a call: a JSON object as its body, and a valid URL of the receiver."""

from typing import Any, Literal
from urllib.parse import urlsplit

from flask import request


def json_object() -> dict[str, Any] | None:
    """Return the JSON object in the body, whatever its content type; None if there is none."""
    try:
        body = request.get_json(force=True, silent=True)
    except RecursionError:  # nested too deeply to be read
        return None
    return body if isinstance(body, dict) else None


def url_problem(url: object) -> Literal["missing", "no text", "invalid", "no https"] | None:
    """Return what is wrong with a receiver's URL, None if it is valid."""
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
