"""What a look at one setting or server found: sound, doubtful or wrong, and how to mend it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.environment import Fault

# What a server says of itself, by the server's own names; one that it hides is missing.
Facts = Mapping[str, Any]


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and how to mend it; never a secret's value."""

    what: str
    verdict: Verdict
    found: str
    mend: str = ""


def ok(what: str, found: str) -> Finding:
    """Return a finding of something sound."""
    return Finding(what, Verdict.OK, found)


def warning(what: str, found: str, mend: str) -> Finding:
    """Return a finding that nothing refuses, and somebody may regret."""
    return Finding(what, Verdict.WARNING, found, mend)


def fault(what: str, found: str, mend: str) -> Finding:
    """Return a finding under which deliveries are refused, stuck or lost."""
    return Finding(what, Verdict.FAULT, found, mend)


def of_faults(faults: Iterable[Fault], verdict: Verdict = Verdict.FAULT) -> list[Finding]:
    """Return what start-up would refuse, as findings."""
    return [Finding(each.name, verdict, each.problem, each.mend) for each in faults]


def to_faults(findings: Iterable[Finding]) -> list[Fault]:
    """Return the faults among findings, as start-up tells them."""
    return [Fault(each.what, each.found, each.mend) for each in findings if each.verdict is Verdict.FAULT]


def headroom(what: str, used: int, limit: int, mend: str) -> Finding:
    """Judge how much of a limit is used: above 75 % is doubtful, above 90 % wrong."""
    found = f"{used:,} of {limit:,} used"
    if used <= 0.75 * limit:
        return ok(what, found)
    return (fault if used > 0.9 * limit else warning)(what, found, mend)


def clock(what: str, seconds: float) -> Finding:
    """Judge by how far a server's clock is from this machine's: over 1 s is doubtful, over 30 s wrong."""
    found = f"{seconds:.1f} s from this machine's"
    if seconds <= 1:
        return ok(what, found)
    return (fault if seconds > 30 else warning)(what, found, "Have both machines keep time by NTP")
