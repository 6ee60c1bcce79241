"""`kvitto check`: what is missing or dangerous in modules, settings and servers, before a process starts."""

import dataclasses
import os
from collections import Counter

import click

from app.cli.local_settings import adopt
from app.cli.main import REMOVED
from app.cli.output import print_rows
from app.cli.shared_options import json_option
from app.local.data_folder import DataFolder
from app.preflight.installation import check as check_installation
from app.process_settings import PROCESSES, READERS
from config.checks.result import CheckLevel
from config.environment import Environment
from config.settings import provider_names

_STYLES = {CheckLevel.OK: "green", CheckLevel.WARNING: "yellow", CheckLevel.FAULT: "bold red"}
_COLUMNS, _WRAPPED = ("name", "level", "message", "hint"), ("message", "hint")


@click.command(epilog="Example: kvitto check ingest worker --json")
@click.argument("processes", metavar="[PROCESS]...", nargs=-1, type=click.Choice(list(READERS)))
@json_option
@click.pass_obj
def check(data: DataFolder, processes: tuple[str, ...], as_json: bool) -> None:
    """Check modules, settings, folders and servers of ingest, worker, beat, console, migrate (default: all).

    `subscriptions` checks what that command needs.

    Changes nothing: it writes and deletes an inbox of its own in Redis, and sends each provider's worker one wake-up.
    Exit 78 on a fault of settings, else 1 on a fault of a server or one that cannot be reached,
    else 0: warnings are for you to decide. If a module cannot be imported, nothing else is checked; exit 1.
    """
    adopt(data, apis="subscriptions" in processes)
    names = processes or tuple(PROCESSES)
    results, status = check_installation((*names, "check"), provider_names(Environment.of_process())), 1
    if all(result.level is CheckLevel.OK for result in results):
        from app.preflight.report import run_checks  # noqa: PLC0415 - imports libraries that may not be installed

        report = run_checks(os.environ, names, click.get_current_context().meta[REMOVED])
        results, status = [*results, *report.settings, *report.servers], report.status
    rows = [dataclasses.asdict(result) for result in results]
    print_rows(rows, _COLUMNS, as_json, empty="", styles=_STYLES, wrapped=_WRAPPED)
    if not as_json:
        counts = Counter(result.level for result in results)
        worst = max(counts, key=list(CheckLevel).index)
        summary = ", ".join(f"{counts[level]} {level}" for level in CheckLevel)
        click.secho(summary, fg=_STYLES[worst].rpartition(" ")[2], bold=True)
    raise SystemExit(status)
