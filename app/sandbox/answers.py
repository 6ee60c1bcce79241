"""What a receiver answered to a try."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """How a try ended: status 0 means that no answer came."""

    status: int
    receipt: str | None
    seconds: float

    @classmethod
    def of(cls, answer: httpx.Response, seconds: float) -> "Answer":
        """Read a receiver's answer."""
        is_receipt = answer.status_code == 200 and answer.headers.get("Content-Type") == "application/json"
        return cls(answer.status_code, answer.json().get("receipt") if is_receipt else None, seconds)
