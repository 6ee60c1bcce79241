"""The result of one check of a setting or a server."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

# What a server reports about itself, under the server's own names. What it hides is missing.
Facts = Mapping[str, Any]


class CheckLevel(StrEnum):
    """How serious a result is, from harmless to serious."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The subject of a check, its finding and how to fix it. Never holds the value of a secret."""

    level: CheckLevel
    name: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.message}. {self.hint}."


def ok(name: str, message: str) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult(CheckLevel.OK, name, message)


def warning(name: str, message: str, hint: str) -> CheckResult:
    """Return a result that stops nothing, and that an operator should know."""
    return CheckResult(CheckLevel.WARNING, name, message, hint)


def fault(name: str, message: str, hint: str) -> CheckResult:
    """Return a result under which deliveries are rejected, stuck or lost."""
    return CheckResult(CheckLevel.FAULT, name, message, hint)


def expect(name: str, holds: bool, message: str, problem: str, hint: str) -> CheckResult:
    """Return ok with `message` if a condition holds, else a fault with `problem` and how to fix it."""
    return ok(name, message) if holds else fault(name, problem, hint)


def durability(
    name: str, faults: Sequence[CheckResult], message: str, exceptions: Collection[str]
) -> list[CheckResult]:
    """Return ok with `message` if a server has no faults that could lose a write; exceptions become warnings."""
    forbidden = without(faults, exceptions)
    return [result if result in forbidden else replace(result, level=CheckLevel.WARNING) for result in faults] or [
        ok(name, message)
    ]


def without(faults: Iterable[CheckResult], exceptions: Collection[str]) -> list[CheckResult]:
    """Return the faults of a server's settings without those that `exceptions` lists as `server.setting`."""
    return [result for result in faults if result.name.replace(" ", ".") not in exceptions]


def unsafe(
    server: str, rules: Mapping[str, tuple[Sequence[str], str]], settings: Mapping[str, Any]
) -> list[CheckResult]:
    """Return the settings of a server that could lose a confirmed write. `rules`: durable values by name, and a hint.

    A setting that the server hides (managed services refuse CONFIG) is a fault: unknown is not proven.
    """
    return [
        fault(
            f"{server} {name}",
            f"is {settings.get(name, 'unknown')!r}, must be {' or '.join(map(repr, durable))}",
            f"{hint}; or, if losing deliveries is acceptable, set ALLOW_NON_DURABLE={server}.{name}",
        )
        for name, (durable, hint) in rules.items()
        if settings.get(name) not in durable
    ]


def only_faults(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the results under which a process must not start."""
    return [result for result in results if result.level is CheckLevel.FAULT]


def headroom(name: str, used: int, limit: int, hint: str) -> CheckResult:
    """Check how much of a limit is used: a warning above 75 %, a fault above 90 %."""
    message = f"{used:,} of {limit:,} used"
    if used <= 0.75 * limit:
        return ok(name, message)
    return (fault if used > 0.9 * limit else warning)(name, message, hint)


def clock(name: str, seconds: float) -> CheckResult:
    """Check how far a server's clock is from this machine's: a warning above 1 s, a fault above 30 s."""
    message = f"{seconds:.1f} s from this machine's"
    if seconds <= 1:
        return ok(name, message)
    return (fault if seconds > 30 else warning)(name, message, "Have both machines keep time by NTP")
