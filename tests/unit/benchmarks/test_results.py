"""The page on performance shows what was measured last."""

import re
from pathlib import Path

from benchmarks import tables, thresholds
from benchmarks.result_files import RESULTS, Record

PAGE = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()
RECORD = Record.read(RESULTS / "results.json")


def test_the_tables_are_those_of_the_raw_data() -> None:
    assert tables.goals(RECORD) in PAGE
    assert tables.stores(RECORD) in PAGE


def test_the_page_beside_the_raw_data_is_made_of_it() -> None:
    assert (RESULTS / "RESULTS.md").read_text(encoding="utf-8") == tables.page(RECORD)


def test_every_plot_that_is_shown_is_there() -> None:
    shown = re.findall(r"\]\(\.\./benchmarks/results/([\w-]+\.svg)\)", PAGE)
    assert shown
    assert all((RESULTS / name).exists() for name in shown)


def test_no_run_was_void() -> None:
    assert RECORD.voids == []


def test_ratios_are_kept_to_compare_with() -> None:
    assert thresholds.kept()
