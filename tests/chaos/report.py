"""Reports a run of the fault suite: a table for the terminal, Markdown for the project's pages."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.loss import ReportedLoss
from tests.chaos.result import MAX_ANSWER_SECONDS, Result

RESULTS = Path(__file__).parent / "RESULTS.md"
_HEAD = ("fault", "requests", "200s", "lost", "doubled", "longest answer, s", "seconds to recover")


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run.

    missing: receipts that the ledgers lack at the end.
    losses: what the audit reports after Redis lost entries in flight.
    """

    seed: int
    minutes: float
    results: Sequence[Result]
    missing: int
    losses: Sequence[ReportedLoss]
    full: bool

    @property
    def passed(self) -> bool:
        """Whether every fault passed, and every unpreventable loss was reported."""
        is_reported = all(loss.is_right for loss in self.losses)
        return is_reported and not self.missing and all(result.passed for result in self.results)


def table(run: Run) -> str:
    """Return the results as an aligned table, which is Markdown too."""
    rows = [_HEAD, *map(_row, run.results), _total(run.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [" | ".join(_align(row[i], widths[i], i) for i in range(len(_HEAD))) for row in rows]
    rule = " | ".join(("-" * width if i == 0 else "-" * (width - 1) + ":") for i, width in enumerate(widths))
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def failures(run: Run) -> list[str]:
    """Return what failed, in words."""
    texts = [result.describe() for result in run.results if not result.passed]
    if run.missing:
        texts.append(f"at the end the ledger lacks {run.missing} receipts that were given")
    for loss in run.losses:
        if not loss.is_right:
            found = loss.error or f"the audit reports {loss.missing} missing and ends with status {loss.status}"
            texts.append(f"{loss.name}: {loss.lost} lost, {found}")
    return texts


def markdown(run: Run) -> str:
    """Return the page RESULTS.md."""
    length = "last longer than every time-out" if run.full else "last a few seconds (`--quick`)"
    result = "Nothing lost, nothing doubled." if run.passed else "FAILED:\n\n" + "\n".join(failures(run))
    return f"""# Faults

Written by `make chaos`: every part of a running Kvitto is broken under load. Then every accepted
delivery is looked up in the ledger: its receipt and its effect, each once. {result}

Seed {run.seed}, {os.cpu_count()} cores shared with the load, {run.minutes:.0f} minutes; faults {length}.

The longest answer must stay below {MAX_ANSWER_SECONDS:.0f} s; answers of an edge that is itself frozen
do not count. Seconds to recover: from the repair until a new delivery is in the ledger, behind the
backlog. Where a replica of Redis is promoted, `INBOX_REPLICAS` is 1.

{table(run)}

{_losses(run)}"""


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.fault,
        f"{result.requests:,}",
        f"{result.accepted:,}",
        str(result.lost),
        str(result.doubled),
        f"{result.longest:.2f}",
        f"{result.recovery:.1f}",
    )


def _total(results: Sequence[Result]) -> tuple[str, ...]:
    total = Result(
        f"{len(results)} faults",
        requests=sum(result.requests for result in results),
        accepted=sum(result.accepted for result in results),
        lost=sum(result.lost for result in results),
        doubled=sum(result.doubled for result in results),
        longest=max((result.longest for result in results), default=0.0),
        recovery=max((result.recovery for result in results), default=0.0),
    )
    return _row(total)


def _losses(run: Run) -> str:
    if not run.losses:
        return ""
    rows = [f"| {loss.name} | {loss.lost} | {loss.missing} | {loss.status} |" for loss in run.losses]
    return "\n".join(
        [
            "A Redis without a replica may lose entries in flight, if it is set back or another client edits it.",
            "`kvitto audit` must report each entry, although more arrive afterwards than were lost:",
            "",
            "| what happens to Redis | lost | reported missing | status of `kvitto audit` |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def _align(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)
