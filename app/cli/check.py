"""`kvitto check`: what is missing or dangerous in modules, settings and servers, before a process starts."""

import dataclasses
import os
from collections import Counter

import click

from app.cli.adoption import adopt
from app.cli.output import print_rows
from app.installation import check as check_installation
from app.local.data import Data
from app.processes import PROCESSES, READERS
from config.environment import Environment
from config.findings import Finding, Verdict
from config.settings import provider_names

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "bold red"}


@click.command(short_help="Test modules, settings and servers.", epilog="Example: kvitto check ingest worker --json")
@click.argument("processes", metavar="[PROCESS]...", nargs=-1, type=click.Choice(list(READERS)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(data: Data, processes: tuple[str, ...], as_json: bool) -> None:
    """Test modules, settings and servers of ingest, worker, beat, console, migrate (default: all).

    Says what is missing or dangerous. With `subscriptions`: of what that command needs.

    Changes nothing. Exit 78 on a fault of settings, else 1 on a fault of a server or one that cannot be reached,
    else 0: warnings are for you to judge. If a module cannot be imported, nothing else is tested, and exit is 1.
    """
    adopt(data, apis="subscriptions" in processes)
    names = processes or tuple(PROCESSES)
    findings, status = check_installation((*names, "check"), provider_names(Environment.of_process())), 1
    if all(finding.verdict is Verdict.OK for finding in findings):
        found, status = _diagnose(names)
        findings += found
    rows = [dataclasses.asdict(finding) for finding in findings]
    print_rows(rows, ("what", "verdict", "found", "mend"), as_json, empty="", styles=_STYLES, wrapped=("found", "mend"))
    if not as_json:
        _sum_up(Counter(finding.verdict for finding in findings))
    raise SystemExit(status)


def _diagnose(processes: tuple[str, ...]) -> tuple[list[Finding], int]:
    """Test settings and servers; return the findings and the exit status."""
    from app.diagnosis import diagnose  # noqa: PLC0415 - imports clients of servers, which may not be installed

    diagnosis = diagnose(os.environ, processes)
    return [*diagnosis.settings, *diagnosis.servers], diagnosis.status


def _sum_up(counts: Counter[Verdict]) -> None:
    worst = next(verdict for verdict in reversed(Verdict) if counts[verdict])
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    click.secho(told, fg=_STYLES[worst].rpartition(" ")[2], bold=True)
