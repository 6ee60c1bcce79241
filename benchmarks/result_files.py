"""What a run measured: every single value, what is to be known about it, and whether it is void."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.statistics import Spread, ratio

RESULTS = Path(__file__).parent / "results"
# Of a run that was small, or not of everything: not to be mistaken for the results.
LAST = RESULTS / "last"
KVITTO = "Kvitto"


@dataclass(frozen=True, slots=True)
class Point:
    """One value. `subject` is who was measured: ourselves or a baseline."""

    figure: str
    subject: str
    value: float
    unit: str


@dataclass(slots=True)
class Record:
    """The values of a run, in the order in which they were taken.

    curves: name → percentiles, for plots; remarks: what casts doubt on a value; voids: why a run counts for nothing.
    """

    machine: Mapping[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    curves: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    voids: list[str] = field(default_factory=list)

    def add(self, figure: str, subject: str, value: float, unit: str) -> None:
        """Note a value."""
        self.points.append(Point(figure, subject, value, unit))

    def draw(self, name: str, curve: Mapping[str, float]) -> None:
        """Note percentiles."""
        self.curves.setdefault(name, []).append(curve)

    def remark(self, what: str, doubt: str | None) -> None:
        """Note a doubt, if there is one."""
        if doubt:
            self.remarks.append(f"{what}: {doubt}")

    def amend(self, later: "Record", what: str) -> None:
        """Put what was measured again in the place of what there was, and say so."""
        again = {point.figure for point in later.points}
        self.points = [point for point in self.points if point.figure not in again] + later.points
        self.curves |= later.curves
        self.remarks = [remark for remark in self.remarks if not remark.startswith(tuple(again))]
        self.remarks += [*later.remarks, f"{what}: measured again, apart from the rest"]
        self.voids = [void for void in self.voids if _label(void) not in again] + later.voids

    def add_earlier(self, earlier: "Record") -> None:
        """Add what an earlier run measured and this one did not, and say so."""
        measured = {point.figure for point in self.points}
        kept = [point for point in earlier.points if point.figure not in measured]
        self.points += kept
        self.curves = earlier.curves | self.curves
        if kept:
            self.remarks.append(f"of an earlier run: {', '.join(dict.fromkeys(point.figure for point in kept))}")

    def values(self, figure: str, subject: str = KVITTO) -> list[float]:
        """Return what was measured, in order."""
        return [point.value for point in self.points if (point.figure, point.subject) == (figure, subject)]

    def spread(self, figure: str, subject: str = KVITTO) -> Spread | None:
        """Return the median and spread, None if it was not measured."""
        found = self.values(figure, subject)
        return Spread.of(found) if found else None

    def ratio(self, figure: str, baseline: str) -> Spread | None:
        """Return the spread of ours by a baseline's, pair by pair; None if either was not measured."""
        ours, theirs = self.values(figure), self.values(figure, baseline)
        return ratio(ours, theirs) if ours and len(ours) == len(theirs) else None

    def write(self, path: Path) -> None:
        """Keep the raw data."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what was kept."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**found | {"points": [Point(**point) for point in found["points"]]})


def _label(void: str) -> str:
    """Return the figure that a text is about: it begins with it, and maybe who was measured."""
    return void.partition(": ")[0].partition(", ")[0]
