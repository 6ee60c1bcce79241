"""What a run came to, as Markdown: the goals first, then every figure beside its baselines."""

from collections.abc import Collection, Iterator, Sequence

from benchmarks import drain, end_to_end
from benchmarks.accept import in_postgres
from benchmarks.goals import judged
from benchmarks.result_files import KVITTO, Record
from benchmarks.statistics import Spread

Row = Sequence[str]
GOALS = ("figure", "goal", "measured", "from – to", "met")
STORES = ("/s", "DURABLE_STORE=redis", "DURABLE_STORE=postgres")
RATES = ("what", KVITTO, "tutorial")
# So many goals at most are a choice of them: README shows these.
CHOSEN = 5
_RATES = {
    "accept, 0.5 KB": "accept 0.5 KB", "accept, 4 KB": "accept 4 KB", "accept, 64 KB": "accept 64 KB",
    "accept, 1 MB": "accept 1 MB", "drain a backlog": drain.FIGURE, "end to end, sustained": end_to_end.SUSTAINED,
}  # fmt: skip


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return an aligned Markdown table: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = ["-" * width if not column else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    lines = [[_aligned(text, widths[at], at) for at, text in enumerate(row)] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(line: str) -> list[str]:
    """Return the texts of a row of a table."""
    return [each.strip() for each in line.strip("|").split("|")]


def goals(record: Record, shown: Collection[str] | None = None) -> str:
    """Return the goals that were measured, or those figures of them: what counts, between what the runs lie."""
    rows = [
        (goal.figure, str(goal), number(found.median), _between(found), "yes" if met else "NO")
        for goal, found, met in judged(record)
    ]
    head, rule, *lines = table(GOALS, rows).splitlines()
    return "\n".join([head, rule, *(line for line in lines if shown is None or cells(line)[0] in shown)])


def figures(record: Record) -> str:
    """Return every figure, and our ratio to it where it is a baseline's."""
    return table(("figure", "of", "median", "from – to", "unit", "ours by it"), list(_rows(record)))


def stores(record: Record) -> str:
    """Return the rates of accept by the store that keeps deliveries; empty if only one was measured."""
    rows = [
        (figure, *(f"{number(each.median)} ({_between(each)})" for each in (streamed, kept)))
        for figure in dict.fromkeys(point.figure for point in record.points)
        if (streamed := record.spread(figure)) and (kept := record.spread(in_postgres(figure)))
    ]
    return table(STORES, rows) if rows else ""


def rates(record: Record) -> str:
    """Return our rates beside those of the tutorial."""
    rows = [
        (words, *(f"{number(each.median)} /s" if each else "-" for each in both))
        for words, figure in _RATES.items()
        if any(both := (record.spread(figure), record.spread(figure, "tutorial")))
    ]
    return table(RATES, rows)


def page(record: Record) -> str:
    """Return the page that is kept beside the raw data."""
    void = "".join(f"\n**Void:** {text}.\n" for text in record.voids)
    remarks = "".join(f"- {text}\n" for text in dict.fromkeys(record.remarks)) or "- none\n"
    machine = ", ".join(f"{name} {value}" for name, value in record.machine.items() if name != "versions")
    versions = ", ".join(f"{name} {value}" for name, value in record.machine.get("versions", {}).items())
    shown = "\n\n".join(filter(None, (goals(record), stores(record), figures(record))))
    return f"""# Benchmarks

Written by `make bench`; raw data in results.json. Medians of runs in turn with their baselines, the generator of
the load on the same cores. A ratio to a baseline is the median of those of each run to the baseline beside it, and
so not the quotient of two medians. Views, memory and `burst` are of one run: among the goals, "from – to" spans the
views, the looks or the processes, and the worst of them counts. Every run of Kvitto ended with the audit, fsync and
authentication on. Machine: {machine};
{versions}.
{void}
{shown}

What casts doubt on a figure:

{remarks}"""


def _rows(record: Record) -> Iterator[Row]:
    for figure, subject, unit in dict.fromkeys((point.figure, point.subject, point.unit) for point in record.points):
        found = Spread.of(record.values(figure, subject))
        share = record.ratio(figure, subject) if subject != KVITTO else None
        yield figure, subject, number(found.median), _between(found), unit, number(share.median) if share else ""


def _between(found: Spread) -> str:
    return f"{number(found.least)} – {number(found.greatest)}"


def number(value: float) -> str:
    """Return a value in three figures, whole from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)
