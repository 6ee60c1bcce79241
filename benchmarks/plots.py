"""Plots of a record, as SVG."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import drain
from benchmarks.cost import STAGES, stage_figure
from benchmarks.result_files import KVITTO, Record
from benchmarks.statistics import SHARES, Spread

_OURS, _THEIRS = "#1b6ca8", "#b9bfc6"
# The same record gives the same file.
mpl.rcParams |= {"svg.hashsalt": "kvitto", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}


def draw(record: Record, folder: Path) -> list[Path]:
    """Draw what was measured into a folder; return the files."""
    figures = {point.figure for point in record.points}
    plots = {
        "accept": (_accept, bool(record.curves)),
        "drain": (_drain, drain.FIGURE in figures),
        "growth": (_growth, any(figure.startswith("drain over ") for figure in figures)),
        "cost": (_cost, stage_figure(STAGES[0]) in figures),
    }
    return [_drawn(folder / f"{name}.svg", plot, record) for name, (plot, measured) in plots.items() if measured]


def _drawn(path: Path, plot: Callable[[Axes, Record], None], record: Record) -> Path:
    figure = Figure(figsize=(8, 4), layout="constrained")
    plot(figure.subplots(), record)
    figure.savefig(path, metadata={"Date": None})
    return path


def _accept(axes: Axes, record: Record) -> None:
    """Latencies of durable answers by share of answers, the tail spread out."""
    for name, curves in record.curves.items():
        milliseconds = [Spread.of([curve[str(share)] for curve in curves]).median * 1000 for share in SHARES[:-1]]
        axes.plot([1 / (1 - share) for share in SHARES[:-1]], milliseconds, label=name.removeprefix("accept "))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])
    axes.set(title="Accept: durable answers", xlabel="of answers within", ylabel="ms")
    axes.legend(frameon=False)


def _drain(axes: Axes, record: Record) -> None:
    """Rates beside the baselines'."""
    subjects = dict.fromkeys(point.subject for point in record.points if point.figure == drain.FIGURE)
    rates = {subject: Spread.of(record.values(drain.FIGURE, subject)) for subject in subjects}
    ordered = sorted(rates.items(), key=lambda each: each[1].median)
    medians = [spread.median for _, spread in ordered]
    around = [
        [spread.median - spread.least for _, spread in ordered],
        [each.greatest - each.median for _, each in ordered],
    ]
    colours = [_OURS if subject == KVITTO else _THEIRS for subject, _ in ordered]
    bars = axes.barh([subject for subject, _ in ordered], medians, xerr=around, color=colours)
    axes.bar_label(bars, [f"{median:,.0f}" for median in medians], padding=4)
    axes.margins(x=0.15)
    axes.set(title="Drain: from a full inbox to committed rows", xlabel="events a second")


def _growth(axes: Axes, record: Record) -> None:
    """Rates over how full the ledger is."""
    for name in ("drain", "repetitions"):
        figures = dict.fromkeys(point.figure for point in record.points if point.figure.startswith(f"{name} over "))
        volumes = [int(figure.split()[2].replace(",", "")) / 1e6 for figure in figures]
        axes.plot(volumes, [Spread.of(record.values(figure)).median for figure in figures], marker="o", label=name)
    axes.set_ylim(bottom=0)
    axes.set(title="Growth", xlabel="million events in the ledger", ylabel="events a second")
    axes.legend(frameon=False)


def _cost(axes: Axes, record: Record) -> None:
    """CPU per event by stage, ours and the servers'."""
    left = [0.0] * len(STAGES)
    for subject in dict.fromkeys(point.subject for point in record.points if point.figure == stage_figure(STAGES[0])):
        spent = [Spread.of(record.values(stage_figure(stage), subject)).median for stage in STAGES]
        axes.barh(STAGES, spent, left=left, label=subject)
        left = [one + other for one, other in zip(left, spent, strict=True)]
    axes.invert_yaxis()
    axes.set(title="Cost of an event by stage", xlabel="µs of CPU")
    axes.legend(frameon=False)
