"""Bodies of calls to the APIs."""

from typing import Any

from flask import request


def json_object() -> dict[str, Any] | None:
    """Return the JSON object that a request carries, whatever its content type says; None if it is none."""
    try:
        body = request.get_json(force=True, silent=True)
    except RecursionError:  # nested too deeply to be read
        return None
    return body if isinstance(body, dict) else None
