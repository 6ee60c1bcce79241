"""The goals, and how far a record meets them: by its medians, or by the worst value where a limit must always hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks import accept, ageing, bulkheads, console_pages, drain, end_to_end, idle, size, tracing
from benchmarks.growth import drain_figure, views_figure
from benchmarks.memory import memory_figure
from benchmarks.result_files import Record
from benchmarks.statistics import Spread, ratio

_ACCEPT = accept.BUSY_OF
_HALF = accept.half(_ACCEPT)


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal: the figure in words, a bound in `unit`, and what a record has for it. Ratios have no unit."""

    figure: str
    bound: float
    unit: str
    at_least: bool
    measured: Callable[[Record], Spread | None]

    def is_met(self, found: Spread) -> bool:
        """Return whether what counts is within the bound."""
        return found.median >= self.bound if self.at_least else found.median <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


def _times(words: str, bound: float, figure: str, baseline: str, at_least: bool = True) -> Goal:
    return Goal(words, bound, " ×", at_least, lambda record: record.ratio(figure, baseline))


def _at_most(words: str, bound: float, unit: str, figure: str) -> Goal:
    return Goal(words, bound, unit, False, lambda record: record.spread(figure))


def _never_above(words: str, bound: float, unit: str, figure: str) -> Goal:
    return Goal(words, bound, unit, False, lambda record: _worst(record.spread(figure)))


def _worst(found: Spread | None) -> Spread | None:
    return replace(found, median=found.greatest) if found else None


def _volumes(record: Record) -> list[int]:
    """Return the volumes that growth was measured at."""
    found = {point.figure for point in record.points if point.figure.startswith("drain over ")}
    return sorted(int(figure.split()[2].replace(",", "")) for figure in found)


def _drain_kept(record: Record) -> Spread | None:
    """Return the drain rate at the greatest volume by that at the least."""
    volumes = _volumes(record)
    if len(volumes) < 2:
        return None
    return ratio(record.values(drain_figure(volumes[-1])), record.values(drain_figure(volumes[0])))


def _slowest_view(record: Record) -> Spread | None:
    volumes = _volumes(record)
    found = [point.value for point in record.points if volumes and point.figure == views_figure(volumes[-1])]
    return Spread(max(found), min(found), max(found)) if found else None


def _memory_growth(record: Record) -> Spread | None:
    """Return by how much the processes that grew most have grown since the first look."""
    slices = [record.values(memory_figure(kind)) for kind in ("ingest", "worker")]
    found = [values[-1] / values[0] for values in slices if values]
    return Spread(max(found), min(found), max(found)) if found else None


def _more(figure: str, baseline: str) -> Callable[[Record], Spread | None]:
    """Return by how much a figure is above its baseline, pair by pair."""

    def measured(record: Record) -> Spread | None:
        pairs = zip(record.values(figure), record.values(figure, baseline), strict=True)
        found = [ours - theirs for ours, theirs in pairs]
        return Spread.of(found) if found else None

    return measured


GOALS = (
    _times("accept, 0.5 KB, by the empty Flask view", 0.65, _ACCEPT, accept.EMPTY),
    _times("accept while all is drained by the empty view", 0.42, accept.BUSY, accept.EMPTY),
    _times("accept, 0.5 KB, by the tutorial", 4, _ACCEPT, accept.TUTORIAL),
    _at_most("accept at half the highest rate, p99", 10, " ms", f"{_HALF}, p99"),
    _times("p99 at half the highest rate by the empty view's", 2, f"{_HALF}, p99", accept.EMPTY, False),
    _at_most("accept at half the highest rate, p99.9", 50, " ms", f"{_HALF}, p99.9"),
    _times("drain by the tutorial", 15, drain.FIGURE, drain.TUTORIAL),
    _times("drain by unseal + decrypt + validate", 0.42, drain.FIGURE, drain.PROCESS),
    _at_most("CPU behind ingest per delivery", 300, " µs", accept.BEHIND),
    _times("end to end by the tutorial", 12, end_to_end.THROUGH, end_to_end.TUTORIAL),
    _times("end to end without backlog by the tutorial", 8, end_to_end.SUSTAINED, end_to_end.TUTORIAL),
    _at_most("receipt to row at half the highest rate, p99", 250, " ms", end_to_end.delay_figure(0.5)),
    _at_most("receipt to notification at half that rate, p99", 250, " ms", end_to_end.notice_figure(0.5)),
    Goal("drain over the fullest ledger by the emptiest", 0.8, " ×", True, _drain_kept),
    _times("storing over 36 months by over one partition", 0.9, ageing.STORE, ageing.UNPARTITIONED),
    _times("storing over 36 months by over a hundredth", 0.8, ageing.STORE, ageing.FEW),
    Goal("CPU of an audit beyond one over a hundredth", 50, " ms", False, _more(ageing.COUNT, ageing.FEW)),
    *(_never_above(figure, 100, " ms", figure) for figure in ageing.WAITS.values()),
    Goal("slowest dashboard view over the fullest ledger", 200, " ms", False, _slowest_view),
    _at_most("console's start page over 5 million", console_pages.GOAL_MS, " ms", console_pages.START),
    _at_most("console's page of deliveries over 5 million", console_pages.GOAL_MS, " ms", console_pages.DELIVERIES),
    _never_above("slowest page or panel over 5 million", console_pages.GOAL_MS, " ms", console_pages.EVERY),
    _at_most("bytes in Postgres per event", 1600, " B", size.FIGURE),
    _never_above("memory of an ingest process (highest)", 80, " MB", memory_figure("ingest")),
    _never_above("memory of a worker process (highest)", 120, " MB", memory_figure("worker")),
    Goal("memory at the end by that at the first look", 1.1, " ×", False, _memory_growth),
    _at_most("memory of all processes, idle", 400, " MB", idle.MEMORY),
    _at_most("CPU of all processes, idle, of a core", 2, " %", idle.CPU_SHARE),
    _at_most("from `kvitto up` to ready", 3, " s", idle.READY),
    _at_most("CPU from `kvitto up` to ready", 3.5, " s", idle.READY_CPU),
    _times("Solaris' p99 under a burst of Kompar by its own", bulkheads.GOAL, bulkheads.FIGURE, bulkheads.ALONE, False),
    _times("accept, 1 of 100 requests traced, by none", 0.95, tracing.RATE, tracing.UNTRACED),
    _times("ingest's CPU, 1 of 100 requests traced, by none", 1.05, tracing.CPU, tracing.UNTRACED, False),
)


def judged(record: Record) -> Iterator[tuple[Goal, Spread, bool]]:
    """Yield each goal that was measured, with what was found and whether it is met."""
    for goal in GOALS:
        if found := goal.measured(record):
            yield goal, found, goal.is_met(found)
