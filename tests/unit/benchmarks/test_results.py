"""The page on performance shows what was measured last."""

import re
from pathlib import Path

from benchmarks import pages, tables, thresholds
from benchmarks.result_files import RESULTS, Record

PAGE = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()
RECORD = Record.read(RESULTS / "results.json")


def test_the_tables_are_those_of_the_raw_data() -> None:
    assert tables.goals(RECORD) in PAGE
    assert tables.stores(RECORD) in PAGE


def test_readme_and_page_have_the_numbers_of_the_raw_data() -> None:
    for page in (pages.README, pages.PERFORMANCE):
        assert pages.updated(text := page.read_text(encoding="utf-8"), RECORD) == text


def test_other_numbers_replace_those_of_a_page() -> None:
    record = Record()
    record.add("accept 0.5 KB", "Kvitto", 3000, "/s")
    record.add("accept 0.5 KB", "empty Flask view", 6000, "/s")
    record.add("accept 0.5 KB at half the highest rate, p99", "Kvitto", 7, "ms")
    found = pages.updated(PAGE, record)
    assert "\n1 of 2 goals are missed" in found
    assert "- **accept, 0.5 KB, by the empty Flask view" not in found  # a person writes the reason of a new miss
    assert "- **accept at half the highest rate, p99:" not in found
    assert "| accept at half the highest rate, p99  " in found
    assert "| accept, 0.5 KB | 3,000 /s |        - |" in found


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
