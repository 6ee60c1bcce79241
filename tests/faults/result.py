"""What came of a fault."""

from dataclasses import asdict, dataclass, field
from typing import Any

ANSWER_SECONDS = 5.0


@dataclass(slots=True)
class Result:
    """What came of a fault. Seconds: of the longest answer, and from the mend to a fresh delivery in the ledger."""

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
        """Whether the promise held."""
        return not (self.lost or self.doubled or self.wrong or self.longest >= ANSWER_SECONDS)

    def describe(self) -> str:
        """Say what is amiss, shortened."""
        told = f"{self.fault}: {self.lost} lost, {self.doubled} doubled, longest answer {self.longest:.2f} s"
        return "; ".join([told, *(text[:500] for text in self.wrong[:5])])

    def figures(self) -> dict[str, Any]:
        """Return it for machines."""
        return {name: value for name, value in asdict(self).items() if name != "receipts"} | {"passed": self.passed}
