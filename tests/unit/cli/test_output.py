"""Rows are aligned in a pipe, without colours, and JSON on request."""

import json
from decimal import Decimal

import pytest

from app.cli.output import print_rows

ROWS = [{"name": "kompar", "n": 5}, {"name": "[solaris]", "n": 1200}]


def test_rows_are_aligned_and_never_parsed_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, ("name", "n"), as_json=False, empty="none", styles={"kompar": "red"})
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "name          n",
        "kompar        5",
        "[solaris]  1200",
    ]


def test_rows_are_json_with_every_column_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"name": "å", "n": Decimal("1.5"), "more": None}], ("name",), as_json=True, empty="none")
    (row,) = json.loads(capsys.readouterr().out)
    assert row.keys() == {"name", "n", "more"}
    assert row["name"] == "å"


def test_no_rows_are_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("name",), as_json=False, empty="nothing is waiting")
    assert capsys.readouterr().out == "nothing is waiting\n"
