"""`python -m tests.chaos`: the fault suite at length."""

import json
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random

import click

from tests.chaos import report
from tests.chaos.catalogue import FAULTS, PROXIED, WATCHED
from tests.chaos.failover_faults import watched_kvitto
from tests.chaos.fault_context import Fault, Servers
from tests.chaos.loss import reported_losses
from tests.chaos.network_faults import proxied_kvitto
from tests.chaos.result import Result
from tests.chaos.suite import Volume, count_missing, run_fault
from tests.support.kvitto_process import Running, running


@click.command(epilog="Example: python -m tests.chaos --only redis --deliveries 20000")
@click.option("--seed", default=1, show_default=True, help="The same seed sends the same events.")
@click.option("--deliveries", default=200_000, show_default=True, help="Accepted deliveries over all faults, at least.")
@click.option("--rate", default=300.0, show_default=True, help="Deliveries per second, at most.")
@click.option("--quick", is_flag=True, help="Faults last seconds only, as in the tests.")
@click.option(
    "--only", multiple=True, metavar="TEXT", help="Only faults whose name contains this; repeatable; writes no page."
)
@click.option("--soak", default=0.0, metavar="MINUTES", help="Run random faults for so long.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(  # noqa: PLR0917 - a command's options are its arguments
    seed: int, deliveries: int, rate: float, quick: bool, only: Sequence[str], soak: float, as_json: bool
) -> None:
    """Break every part of a running Kvitto under load, then account for every accepted delivery.

    Exit 1 if one was lost or doubled, or an answer took 5 s. The table goes to tests/chaos/RESULTS.md.
    """
    faults, proxied, watched = (_chosen(each, only) for each in (FAULTS, PROXIED, WATCHED))
    per_fault = -(-deliveries // max(1, len(faults) + len(proxied) + len(watched)))
    volume = Volume(per_fault, rate, not quick, seed)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the started processes too
    with tempfile.TemporaryDirectory(prefix="kvitto-faults-") as name:
        folder = Path(name)
        if soak:
            results, missing = _run_all(folder, _at_random(faults, soak, seed), (), (), volume)
        else:
            results, missing = _run_all(folder, faults, proxied, watched, volume)
        losses = [] if only or soak else list(reported_losses(folder / "loss"))
    run = report.Run(seed, (time.monotonic() - started) / 60, results, missing, losses, not quick)
    if not (only or soak):
        report.RESULTS.write_text(report.markdown(run), encoding="utf-8")
    click.echo(json.dumps([result.figures() for result in results], indent=2) if as_json else report.table(run))
    for text in report.failures(run):
        click.secho(text, fg="red", err=True)
    raise SystemExit(0 if run.passed else 1)


def _at_random(faults: Sequence[Fault], minutes: float, seed: int) -> Iterator[Fault]:
    """Yield random faults for so long, each under a new name, so that its events are new."""
    random, end = Random(seed), time.monotonic() + minutes * 60
    for turn in count(1):
        if time.monotonic() > end:
            return
        fault = random.choice(faults)
        yield replace(fault, name=f"{fault.name} in turn {turn}")


def _run_all(
    folder: Path, faults: Iterable[Fault], proxied: Sequence[Fault], watched: Sequence[Fault], volume: Volume
) -> tuple[list[Result], int]:
    """Return the results, and how many receipts the ledgers lack at the end."""
    results: list[Result] = []
    missing = 0
    if faults:
        with running(folder / "plain" / "data") as kvitto:
            missing += _run_on(kvitto, faults, volume, None, results)
    if proxied:
        (folder / "proxied").mkdir()
        with proxied_kvitto(folder / "proxied") as (kvitto, proxies):
            missing += _run_on(kvitto, proxied, volume, proxies, results)
    if watched:
        (folder / "watched").mkdir()
        with watched_kvitto(folder / "watched") as (kvitto, pair):
            missing += _run_on(kvitto, watched, volume, pair, results)
    return results, missing


def _run_on(kvitto: Running, faults: Iterable[Fault], volume: Volume, servers: Servers, results: list[Result]) -> int:
    receipts: set[str] = set()
    for fault in faults:
        click.echo(f"{fault.name} …", err=True, nl=False)
        result = run_fault(kvitto, fault, volume, servers)
        receipts |= set(result.receipts)
        results.append(result)
        outcome = click.style("passed", fg="green") if result.passed else click.style(result.describe(), fg="red")
        click.echo(f" {outcome}, {result.accepted} answered 200", err=True)
    return count_missing(kvitto, receipts)


def _chosen(faults: Sequence[Fault], only: Sequence[str]) -> list[Fault]:
    return [fault for fault in faults if not only or any(text in fault.name for text in only)]


if __name__ == "__main__":
    main()
