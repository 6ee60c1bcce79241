"""What a record says: goals, tables, plots, expectations."""

from pathlib import Path

from benchmarks import tables, thresholds
from benchmarks.goals import judged
from benchmarks.result_files import KVITTO, Record
from benchmarks.statistics import SHARES

STORES = ("redis", "postgres")


def record() -> Record:
    found = Record(machine={"cores": 2, "versions": {"flask": "3"}})
    for ours, theirs in ((700, 1000), (600, 1000), (800, 1000)):
        found.add("accept 0.5 KB", KVITTO, ours, "/s")
        found.add("accept 0.5 KB", "empty Flask view", theirs, "/s")
    for subject, rate in ((KVITTO, 5000), ("tutorial", 500)):
        found.add("drain", subject, rate, "/s")
    for stored, rate in ((0, 1000), (1000, 700)):
        found.add(f"drain over {stored:,} events", KVITTO, rate, "/s")
    found.draw("accept 0.5 KB at half the highest rate", {str(share): share / 100 for share in SHARES})
    return found


def verdicts(found: Record) -> dict[str, bool]:
    return {goal.figure: met for goal, _, met in judged(found)}


def test_a_goal_is_met_by_the_median() -> None:
    assert verdicts(record()) == {
        "accept, 0.5 KB, by the empty Flask view": True,
        "drain by the tutorial": False,
        "drain over the fullest ledger by the emptiest": False,
    }


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdicts(Record()) == {}


def test_the_page_shows_goals_figures_doubts_and_what_is_void() -> None:
    found = record()
    found.remark("drain", "the generator used 95% of a core")
    found.voids.append("drain: the audit reports 1 missing")
    page = tables.page(found)
    assert "**Void:** drain: the audit reports 1 missing." in page
    assert "- drain: the generator used 95% of a core" in page
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    assert ["accept, 0.5 KB, by the empty Flask view", "≥ 0.65 ×", "0.7", "0.6 – 0.8", "yes"] in rows
    assert ["drain by the tutorial", "≥ 15 ×", "10", "10 – 10", "NO"] in rows
    assert ["drain", "tutorial", "500", "500 – 500", "/s", "10"] in rows


def test_the_page_shows_postgres_as_the_durable_store_beside_the_stream() -> None:
    found = record()
    assert tables.stores(found) == ""
    found.add("accept 0.5 KB into Postgres", KVITTO, 200, "/s")
    heading, _, row = tables.stores(found).splitlines()
    assert [cell.strip() for cell in heading.split("|")] == [
        "",
        "/s",
        *(f"DURABLE_STORE={name}" for name in STORES),
        "",
    ]
    assert [cell.strip() for cell in row.split("|")] == ["", "accept 0.5 KB", "700 (600 – 800)", "200 (200 – 200)", ""]
    assert tables.stores(found) in tables.page(found)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record().write(tmp_path / "results.json")
    assert Record.read(tmp_path / "results.json") == record()


def test_the_same_record_gives_the_same_plots(tmp_path: Path) -> None:
    from benchmarks import plots  # noqa: PLC0415 - Matplotlib takes a second, which each test process would spend

    first, second = ({path.name: path.read_bytes() for path in plots.draw(record(), tmp_path)} for _ in range(2))
    assert list(first) == ["accept.svg", "drain.svg", "growth.svg"]
    assert first == second


def test_a_ratio_that_fell_is_reported_and_that_to_the_disk_may_fall_further() -> None:
    expected = {
        "drain by tutorial": 10.0,
        "accept 0.5 KB by empty Flask view": 0.6,
        "drain by unseal + decrypt + validate": 1.0,
    }
    measured = {"drain by tutorial": 6.1, "drain by unseal + decrypt + validate": 0.81}
    assert list(thresholds.faults(measured, expected)) == ["accept 0.5 KB by empty Flask view: not measured"]
    assert list(
        thresholds.faults({"drain by tutorial": 5.9, "drain by unseal + decrypt + validate": 0.79}, expected)
    ) == [
        "drain by tutorial: 5.90, expected 10.00 and no more than 40% less",
        "accept 0.5 KB by empty Flask view: not measured",
        "drain by unseal + decrypt + validate: 0.79, expected 1.00 and no more than 20% less",
    ]


def test_what_is_expected_is_kept(tmp_path: Path) -> None:
    assert thresholds.kept(tmp_path / "expected.json") is None
    (text,) = thresholds.faults({}, None)
    assert "python -m benchmarks --check --keep" in text
    thresholds.keep({"drain by tutorial": 10.0}, tmp_path / "expected.json")
    assert thresholds.kept(tmp_path / "expected.json") == {"drain by tutorial": 10.0}


def test_what_is_measured_again_takes_the_place_of_what_was() -> None:
    found, later = record(), Record()
    later.add("drain", KVITTO, 9000, "/s")
    later.add("drain", "tutorial", 500, "/s")
    found.amend(later, "drain")
    assert found.values("drain") == [9000]
    assert len(found.values("accept 0.5 KB")) == 3
    assert verdicts(found)["drain by the tutorial"]
    assert "drain: measured again, apart from the rest" in found.remarks
