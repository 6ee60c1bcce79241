"""Writes what was measured into README and docs/performance.md: tables, and the numbers of their sentences.

A goal that is missed needs a bullet with its reason, which a person writes; bullets of goals that are met go.
"""

import re
import textwrap
from pathlib import Path

from benchmarks import tables
from benchmarks.goals import Goal, judged
from benchmarks.result_files import Record
from benchmarks.statistics import Spread

_ROOT = Path(__file__).parents[1]
README, PERFORMANCE = _ROOT / "README.md", _ROOT / "docs" / "performance.md"
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_BULLET = re.compile(r"^- .*\n(?:  .*\n)*", re.MULTILINE)
_REASONS = re.compile(r"(?:^- \*\*.*, goal [≥≤].*\n(?:  .*\n)*)+", re.MULTILINE)


def update(record: Record) -> list[str]:
    """Write both pages; return the figures of missed goals whose reasons are to be written."""
    for page in (README, PERFORMANCE):
        page.write_text(updated(page.read_text(encoding="utf-8"), record), encoding="utf-8")
    text = PERFORMANCE.read_text(encoding="utf-8")
    return [goal.figure for goal, _, met in judged(record) if not met and f"**{goal.figure}: " not in text]


def updated(text: str, record: Record) -> str:
    """Return a page with this record's numbers."""
    found = list(judged(record))
    missed = f"{sum(not met for _, _, met in found)} of {len(found)} goals are missed"
    text = re.sub(r"\d+ of \d+ goals are missed", missed, text)
    text = _TABLE.sub(lambda old: _table(old[0], record), text)
    unmet = {goal.figure: (goal, spread) for goal, spread, met in found if not met}
    return _REASONS.sub(lambda old: "".join(_reason(each, unmet) for each in _BULLET.findall(old[0])), text)


def _table(old: str, record: Record) -> str:
    """Return a table of ours with what was measured; another one as it is. One of goals keeps its choice of them."""
    head = tables.cells(old.splitlines()[0])
    if head == list(tables.GOALS):
        shown = {tables.cells(line)[0] for line in old.splitlines()[2:]}
        is_choice = len(shown) <= tables.CHOSEN
        return f"{tables.goals(record, shown if is_choice else None)}\n"
    if head == list(tables.STORES):
        return f"{tables.stores(record)}\n"
    return f"{tables.rates(record)}\n" if head == list(tables.RATES) else old


def _reason(bullet: str, unmet: dict[str, tuple[Goal, Spread]]) -> str:
    """Return a bullet with what was measured; empty if the goal is met."""
    found = re.match(r"- \*\*(.+): .+?, goal .+?\.\*\* (.*)", " ".join(bullet.split()))
    if found is None or found[1] not in unmet:
        return ""
    goal, spread = unmet[found[1]]
    words = f"- **{goal.figure}: {tables.number(spread.median)}{goal.unit}, goal {goal}.** {found[2]}"
    lines = textwrap.wrap(words, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"
