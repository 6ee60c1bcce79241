"""The table of faults is of a run of the present suite, and README quotes it."""

from pathlib import Path

from tests.chaos import report
from tests.chaos.catalogue import FAULTS, PROXIED, WATCHED
from tests.chaos.loss import LOSSES

README = Path(__file__).parents[3] / "README.md"


def _rows(header: str) -> list[list[str]]:
    """Return the cells of the table below a header that begins so."""
    lines = report.RESULTS.read_text(encoding="utf-8").split(f"| {header}", 1)[1].splitlines()[2:]
    table = lines[: next((number for number, line in enumerate(lines) if not line), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_has_each_fault_of_the_suite() -> None:
    *rows, total = _rows("fault ")
    assert [row[0] for row in rows] == [fault.name for fault in (*FAULTS, *PROXIED, *WATCHED)]
    assert total[0] == f"{len(rows)} faults"
    assert [row[0] for row in _rows("what happens to Redis ")] == [loss.name for loss in LOSSES]


def test_readme_quotes_its_totals() -> None:
    faults, _requests, accepted, lost, doubled, *_ = _rows("fault ")[-1]
    readme = " ".join(README.read_text(encoding="utf-8").split())
    assert f"{faults}, {accepted} answers of 200, {lost} lost and {doubled} doubled" in readme
