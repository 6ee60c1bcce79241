"""Revisions side by side."""

from typing import Any

from app.console import flags
from app.console.revisions import compare
from tests.unit.project.test_documents import DATA_MODEL, first_cells


def row(revision: int | None, **content: Any) -> dict[str, Any]:
    return {"event_type": "application", "revision": revision, "content": content}


def test_each_key_shows_its_value_and_change_in_every_revision() -> None:
    receipts = [
        row(2, amount=7, phone="1"),
        row(None, amount=5),
        row(1, amount=5, name="Ada"),
        row(3, amount=7, name="A"),
    ]
    found = compare(receipts, 8)
    assert [each["revision"] for each in found.revisions] == [1, 2, 3]
    assert found.rows == {
        "amount": [("5", "same"), ("7", "changed"), ("7", "same")],
        "name": [("Ada", "same"), ("", "removed"), ("A", "added")],
        "phone": [("", "same"), ("1", "added"), ("", "removed")],
    }


def test_older_revisions_are_left_out_and_counted() -> None:
    found = compare([row(number, n=number) for number in range(1, 12)], 8)
    assert (found.left_out, [each["revision"] for each in found.revisions]) == (3, list(range(4, 12)))


def test_every_flag_has_a_meaning() -> None:
    assert [flag for flag in first_cells(DATA_MODEL, "## Flags") if not flags.meaning(flag)] == []
