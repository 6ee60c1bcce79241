"""What a receiver answered to a try."""

import json
from dataclasses import dataclass

import httpx

# What ends a try without an answer; host names that cannot be one raise UnicodeError, TLS alerts OSError.
NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a try ended: status 0 means that no answer came, `why` in words."""

    status: int
    receipt: str | None
    seconds: float
    why: str = ""

    @classmethod
    def of(cls, answer: httpx.Response, seconds: float) -> "Answer":
        """Read a receiver's answer; its body must have been read."""
        return cls(answer.status_code, _receipt(answer) if answer.status_code == 200 else None, seconds)


def _receipt(answer: httpx.Response) -> str | None:
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    receipt = said.get("receipt") if isinstance(said, dict) else None
    return receipt if isinstance(receipt, str) else None
