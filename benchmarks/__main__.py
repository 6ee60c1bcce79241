"""`python -m benchmarks`: measures Kvitto beside its baselines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from benchmarks import machine, pages, plots, tables, thresholds
from benchmarks.result_files import LAST, RESULTS, Record
from benchmarks.suite import CHECKED, MEASUREMENTS, Measurement
from benchmarks.workload_size import CHECK, FULL, QUICK, Volume

_NAMES = [measurement.name for measurement in MEASUREMENTS]
_DEFAULT = [measurement.name for measurement in MEASUREMENTS if not measurement.by_name]


@click.command(epilog="Example: python -m benchmarks --only accept --only drain --pairs 3")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Measure this; repeatable. Default: all but growth, ageing, console and tracing.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    help="Runs of each, in turn with its baselines. Default: 5, or 3.",
)
@click.option("--quick", is_flag=True, help="Small volumes, to see that it works.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep what was measured. Default: benchmarks/results, and last/ in it with --only or --quick.",
)
@click.option("--check", is_flag=True, help="Compare ratios with benchmarks/expected.json; two and a half minutes.")
@click.option("--keep", is_flag=True, help="With --check: keep the ratios as what is expected.")
@click.option("--amend", is_flag=True, help="With --only: put it in the place of what benchmarks/results has of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(  # noqa: PLR0913, PLR0917 - a command's options are its arguments
    only: Sequence[str],
    pairs: int | None,
    quick: bool,
    folder: Path | None,
    check: bool,
    keep: bool,
    amend: bool,
    as_json: bool,
) -> None:
    """Measure Kvitto beside what one would write instead, and beside the limits of its parts.

    Raw data, table and plots are kept. Exit 1 if a run lost or doubled a delivery: then it is void.
    """
    if amend and (not only or pairs or quick or check):
        raise click.UsageError("--amend goes with --only, in full volumes")
    where = folder or (LAST if only or quick or check else RESULTS)
    partial = LAST if where == RESULTS else where
    for each in (where, partial):
        each.mkdir(parents=True, exist_ok=True)
    volume = CHECK if check else QUICK if quick else FULL
    chosen = [CHECKED] if check else [each for each in MEASUREMENTS if each.name in (only or _DEFAULT)]
    record = _measured(chosen, replace(volume, pairs=pairs or volume.pairs), RESULTS if amend else where, partial)
    if where == RESULTS and not record.voids:
        record.add_earlier(Record.read(RESULTS / "results.json"))
        _keep(record, RESULTS)
    faults = [f"void: {text}" for text in record.voids]
    if amend and not faults:
        _amend(record, ", ".join(only))
    if check:
        faults += _compared(record, keep and not faults, as_json)
    else:
        click.echo(json.dumps(asdict(record)) if as_json else _printed(record))
    for text in faults:
        click.secho(text, fg="red", err=True)
    raise SystemExit(1 if faults else 0)


def _measured(chosen: Sequence[Measurement], volume: Volume, pictures: Path, partial: Path) -> Record:
    """Take every measurement; what there is by then is kept after each, since all of them take half an hour."""
    record = Record(machine=machine.describe())
    for measurement in chosen:
        click.echo(measurement.name, err=True)
        measurement.take(volume, pictures, record, lambda text: click.echo(f"  {text}", err=True))
        _keep(record, partial)
    return record


def _amend(record: Record, what: str) -> None:
    kept = Record.read(RESULTS / "results.json")
    kept.amend(record, what)
    _keep(kept, RESULTS)


def _keep(record: Record, folder: Path) -> None:
    record.write(folder / "results.json")
    (folder / "RESULTS.md").write_text(tables.page(record), encoding="utf-8")
    plots.draw(record, folder)
    if folder == RESULTS:
        for figure in pages.update(record):
            click.echo(f"say in docs/performance.md why this goal is missed: {figure}", err=True)


def _printed(record: Record) -> str:
    return f"{tables.goals(record)}\n\n{tables.figures(record)}"


def _compared(record: Record, keep: bool, as_json: bool) -> list[str]:
    """Print the ratios beside what is expected of them, which they become with an option; return what is wrong."""
    found = thresholds.ratios(record)
    if keep:
        thresholds.keep(found)
    expected = thresholds.kept()
    before = {name: f"{ratio:.2f}" for name, ratio in (expected or {}).items()}
    rows = [(name, f"{ratio:.2f}", before.get(name, "-")) for name, ratio in found.items()]
    click.echo(json.dumps(found, indent=2) if as_json else tables.table(("ratio", "now", "expected"), rows))
    return list(thresholds.faults(found, expected))


if __name__ == "__main__":
    main()
