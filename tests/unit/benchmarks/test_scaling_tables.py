"""The tables of docs/scaling.md are those of the results that are kept."""

import pytest

from benchmarks import scaling_tables
from benchmarks.result_files import Record
from benchmarks.scaling_tables import CHECK_FILE, FORECAST_FILE, PAGE, RATES_FILE


def test_the_page_shows_the_results_that_are_kept() -> None:
    page = PAGE.read_text()
    assert scaling_tables.written(page) == page


def test_the_page_has_a_table_of_each_result() -> None:
    times = Record.read(RATES_FILE)
    for table in (
        *scaling_tables.of_rates(times).values(),
        scaling_tables.of_forecast(Record.read(FORECAST_FILE)),
        scaling_tables.of_check(Record.read(CHECK_FILE), scaling_tables.service_times(times)),
    ):
        assert table.count("\n") >= 3
        assert f"\n{table}\n" in PAGE.read_text()


def test_a_table_replaces_the_one_between_its_markers() -> None:
    page = "a\n<!-- rates: x -->\n\nold\nold\n\n<!-- end of rates -->\nb\n<!-- other: x -->\n<!-- end of other -->\n"
    found = scaling_tables.replaced(page, "rates", "| new |")
    assert found == page.replace("old\nold", "| new |")
    assert scaling_tables.replaced(found, "rates", "| new |") == found


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers of 'rates'"):
        scaling_tables.replaced("<!-- other: x -->\n\n<!-- end of other -->\n", "rates", "")
