"""The result of one fault."""

from dataclasses import asdict, dataclass, field
from typing import Any

MAX_ANSWER_SECONDS = 5.0


@dataclass(slots=True)
class Result:
    """The result of one fault.

    longest: seconds of the longest answer. recovery: seconds from the repair until a new delivery is in the ledger.
    """

    fault: str
    requests: int = 0
    accepted: int = 0
    lost: int = 0
    doubled: int = 0
    longest: float = 0.0
    recovery: float = 0.0
    wrong: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled, wrong or too slow."""
        return not (self.lost or self.doubled or self.wrong or self.longest >= MAX_ANSWER_SECONDS)

    def describe(self) -> str:
        """Return what is wrong, shortened."""
        figures = f"{self.fault}: {self.lost} lost, {self.doubled} doubled, longest answer {self.longest:.2f} s"
        return "; ".join([figures, *(text[:500] for text in self.wrong[:5])])

    def figures(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "receipts"} | {"passed": self.passed}
