"""`kvitto check`: what is missing or dangerous in modules, settings and servers, before a process starts."""

import dataclasses
import os
from collections import Counter

import click

from app.cli.local_settings import adopt
from app.cli.output import print_rows
from app.local.data_folder import DataFolder
from app.preflight.installation import check as check_installation
from app.process_settings import PROCESSES, READERS
from config.checks.result import CheckLevel, CheckResult
from config.environment import Environment
from config.settings import provider_names

_STYLES = {CheckLevel.OK: "green", CheckLevel.WARNING: "yellow", CheckLevel.FAULT: "bold red"}


@click.command(short_help="Test modules, settings and servers.", epilog="Example: kvitto check ingest worker --json")
@click.argument("processes", metavar="[PROCESS]...", nargs=-1, type=click.Choice(list(READERS)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(data: DataFolder, processes: tuple[str, ...], as_json: bool) -> None:
    """Test modules, settings and servers of ingest, worker, beat, console, migrate (default: all).

    Says what is missing or dangerous. With `subscriptions`: of what that command needs.

    Changes nothing. Exit 78 on a fault of settings, else 1 on a fault of a server or one that cannot be reached,
    else 0: warnings are for you to judge. If a module cannot be imported, nothing else is tested, and exit is 1.
    """
    adopt(data, apis="subscriptions" in processes)
    names = processes or tuple(PROCESSES)
    findings, status = check_installation((*names, "check"), provider_names(Environment.of_process())), 1
    if all(finding.level is CheckLevel.OK for finding in findings):
        found, status = _diagnose(names)
        findings += found
    rows = [dataclasses.asdict(finding) for finding in findings]
    print_rows(
        rows, ("name", "level", "message", "hint"), as_json, empty="", styles=_STYLES, wrapped=("message", "hint")
    )
    if not as_json:
        _sum_up(Counter(finding.level for finding in findings))
    raise SystemExit(status)


def _diagnose(processes: tuple[str, ...]) -> tuple[list[CheckResult], int]:
    """Test settings and servers; return the findings and the exit status."""
    from app.preflight.report import diagnose  # noqa: PLC0415 - imports clients of servers, which may not be installed

    diagnosis = diagnose(os.environ, processes)
    return [*diagnosis.settings, *diagnosis.servers], diagnosis.status


def _sum_up(counts: Counter[CheckLevel]) -> None:
    worst = next(verdict for verdict in reversed(CheckLevel) if counts[verdict])
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in CheckLevel)
    click.secho(told, fg=_STYLES[worst].rpartition(" ")[2], bold=True)
