"""Compares the revisions of an entity, key by key."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A value of one revision, and what became of it since the one before: `same`, `changed`, `added` or `removed`."""

    text: str
    change: str


class Comparison(NamedTuple):
    """The newest revisions of an entity, oldest first, and for each key its value in each of them."""

    event_type: str
    revisions: list[Mapping[str, Any]]
    rows: dict[str, list[Cell]]
    left_out: int


def compare(receipts: Sequence[Mapping[str, Any]], most: int) -> Comparison:
    """Return the comparison of the receipts of one event type that are revisions, of the newest `most`."""
    revisions = sorted((row for row in receipts if row["revision"]), key=lambda row: int(row["revision"]))
    shown = revisions[-most:]
    contents = [row["content"] or {} for row in shown]
    keys = dict.fromkeys(key for content in contents for key in content)
    rows = {key: _cells(key, contents) for key in keys}
    return Comparison(receipts[0]["event_type"], shown, rows, len(revisions) - len(shown))


def _cells(key: str, contents: Sequence[Mapping[str, Any]]) -> list[Cell]:
    cells = []
    for number, content in enumerate(contents):
        text = _text(content[key]) if key in content else ""
        before = contents[number - 1] if number else content
        if key not in content:
            change = "removed" if key in before else "same"
        elif key not in before:
            change = "added"
        else:
            change = "same" if before[key] == content[key] else "changed"
        cells.append(Cell(text, change))
    return cells


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
