"""The tables of docs/scaling.md, from raw results; each stands between two markers, and is written by its command."""

import re
from pathlib import Path
from statistics import median

from benchmarks.result_files import Record
from benchmarks.scaling_model import Installation, ServiceTimes, drain_rate
from benchmarks.tables import table

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
# As many as a batch counts for: the model drains so many batches.
_BACKLOG = 20_000
_MEANINGS = {
    "accept": "ingest: receive, authenticate, seal, answer",
    "append": "Redis, for ingest",
    "claim": "Redis, for a worker",
    "open": "a worker, before and after the lock: claim, unseal, decrypt, validate, acknowledge",
    "store": "a worker under the lock",
    "ledger": "Postgres under the lock",
    "background": "Postgres: its log, checkpoints, vacuum",
    "commit": "wait under the lock, for Postgres' disk",
    "reply": "wait outside the lock, for Redis and its disk",
}


def figure(processes: int) -> str:
    """Return the name of the figure of a drain."""
    return f"{processes} worker processes"


def service_times(record: Record) -> ServiceTimes:
    """Return the medians of what was measured, in seconds."""
    found = {name: median(record.values("service times", name)) for name in _MEANINGS}
    return ServiceTimes(
        **{name: value / (1e3 if name in ("commit", "reply") else 1e6) for name, value in found.items()}
    )


def speed(record: Record, of: str) -> float:
    """Return the share of each core that other programs left."""
    return max(0.05, 1 - median(record.values(of, "other programs")) / record.machine["cores"])


def of_rates(record: Record) -> dict[str, str]:
    """Return the tables of what was measured: stores by number of processes, and service times."""
    times, rows, first = service_times(record), [], 0.0
    figures = dict.fromkeys(point.figure for point in record.points if point.figure.endswith("worker processes"))
    for name in figures:
        found, processes = record.spread(name), int(name.split()[0])
        assert found
        first = first or found.median
        here = Installation(cores=record.machine["cores"], workers=processes, shared=True, speed=speed(record, name))
        held, waiting = (median(record.values(name, of)) for of in ("lock is held", "processes that wait for the lock"))
        others = median(record.values(name, "other programs"))
        rows.append((
            str(processes), f"{found.median:,.0f}", f"{found.least:,.0f} – {found.greatest:,.0f}",
            f"{found.median / first:.2f} ×", f"{held:.0%}", f"{waiting:.1f}", f"{others:.1f}",
            f"{drain_rate(times, here, _BACKLOG):,.0f}",
        ))  # fmt: skip
    head = (
        "worker processes", "stores/s", "from – to", "by one", "lock is held", "wait for the lock",
        "cores others used", "model",
    )  # fmt: skip
    units = {point.subject: point.unit for point in record.points if point.figure == "service times"}
    parts = [
        (meaning, name, f"{median(record.values('service times', name)):.3g}", units[name])
        for name, meaning in _MEANINGS.items()
    ]
    return {"rates": table(head, rows), "service times": table(("of whom", "part", "median", "unit"), parts)}


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put a table in the place of the one that a page has between the markers of this name."""
    before = page.read_text(encoding="utf-8")
    page.write_text(replaced(before, name, text), encoding="utf-8")


def replaced(page: str, name: str, text: str) -> str:
    """Return a page with another table between the markers of a name.

    Raises:
        ValueError: The page has no such markers.
    """
    pattern = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    found, number = pattern.subn(lambda markers: f"{markers[1]}\n{text}\n{markers[2]}", page)
    if number != 1:
        raise ValueError(f"the page needs two markers of {name!r}")
    return found
