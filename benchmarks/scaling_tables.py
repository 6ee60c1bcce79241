"""The tables of docs/scaling.md, from raw results; each stands between two markers."""

import re
from pathlib import Path
from statistics import median

from benchmarks.result_files import RESULTS, Record
from benchmarks.scaling_model import Installation, ServiceTimes, drain_rate
from benchmarks.tables import table

RATES_FILE, FORECAST_FILE, CHECK_FILE = (
    RESULTS / f"{name}.json" for name in ("scaling", "scaling-forecast", "scaling-hosts")
)
PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
# As many as a batch counts for: the model drains so many batches.
_BACKLOG = 20_000
# If other programs used more cores than this, they disturbed what was measured.
_BUSY_CORES = 0.2
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


def hosts_figure(hosts: int, providers: int) -> str:
    """Return the name of the figure of a forecast."""
    return f"{hosts} hosts, {providers} providers"


def service_times(record: Record) -> ServiceTimes:
    """Return the medians of what was measured, in seconds."""
    found = {name: median(record.values("service times", name)) for name in _MEANINGS}
    return ServiceTimes(
        **{name: value / (1e3 if name in ("commit", "reply") else 1e6) for name, value in found.items()}
    )


def speed(record: Record, of: str) -> float:
    """Return the share of each core that other programs left."""
    return max(0.05, 1 - median(record.values(of, "other programs")) / int(record.machine["cores"]))


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
        connections = [median(record.values(name, f"connections to {of}")) for of in ("Postgres", "Redis")]
        rows.append((
            str(processes), f"{found.median:,.0f}", f"{found.least:,.0f} – {found.greatest:,.0f}",
            f"{found.median / first:.2f} ×", f"{held:.0%}", f"{waiting:.1f}", f"{others:.1f}",
            f"{drain_rate(times, here, _BACKLOG):,.0f}", *(f"{number:.0f}" for number in connections),
        ))  # fmt: skip
    head = (
        "worker processes", "stores/s", "from – to", "by one", "lock is held", "wait for the lock",
        "cores others used", "model", "connections to Postgres", "to Redis",
    )  # fmt: skip
    units = {point.subject: point.unit for point in record.points if point.figure == "service times"}
    parts = [
        (meaning, name, f"{median(record.values('service times', name)):.3g}", units[name])
        for name, meaning in _MEANINGS.items()
    ]
    return {
        "rates": f"{table(head, rows)}\n\n{_remark(record)}",
        "service times": table(("of whom", "part", "median", "unit"), parts),
    }


def of_forecast(record: Record) -> str:
    """Return the table of a forecast: a row for each number of hosts and providers."""
    rows = []
    for figure in dict.fromkeys(point.figure for point in record.points):
        of = {point.subject: point.value for point in record.points if point.figure == figure}
        limit = next(name.removeprefix("limited by ") for name in of if name.startswith("limited by "))
        hosts, providers = re.findall(r"\d+", figure)
        rows.append((
            hosts, providers, f"{of['highest rate']:,.0f} /s", limit, _duration(of["day, p99"], 30),
            _duration(of["day, longest"], 30), f"{of['host-hours']:,.0f}", f"{of['host-hours in use']:,.0f}",
            _duration(of["burst, longest"]), _duration(of["burst, stored after"]),
        ))  # fmt: skip
    head = (
        "hosts", "providers", "highest rate", "limited by", "day: lag, p99", "longest", "host-hours", "of these in use",
        "burst: longest lag", "all stored after",
    )  # fmt: skip
    return table(head, rows)


def of_check(record: Record, times: ServiceTimes) -> str:
    """Return the table of what a number of worker hosts drained, beside what the model says of them."""
    rows, measured, predicted = [], [], []
    for figure in dict.fromkeys(point.figure for point in record.points):
        found, hosts = record.spread(figure), int(figure.split()[0])
        assert found
        here = Installation(hosts, cores=record.machine["cores"], workers=1, shared=True, speed=speed(record, figure))
        measured.append(found.median)
        predicted.append(drain_rate(times, here, _BACKLOG))
        others = median(record.values(figure, "other programs"))
        rows.append((
            str(hosts), f"{measured[-1]:,.0f}", f"{found.least:,.0f} – {found.greatest:,.0f}",
            f"{measured[-1] / measured[0]:.2f} ×", f"{predicted[-1]:,.0f}", f"{predicted[-1] / predicted[0]:.2f} ×",
            f"{others:.1f}",
        ))  # fmt: skip
    head = ("worker hosts", "measured, /s", "from – to", "by one", "model, /s", "by one", "cores others used")
    return f"{table(head, rows)}\n\n{_remark(record)}"


def _remark(record: Record) -> str:
    """Return how much was measured, and whether other programs disturbed it."""
    others = [point.value for point in record.points if point.subject == "other programs"]
    runs = len(record.values(next(point.figure for point in record.points if point.subject == "other programs")))
    drained = record.machine["deliveries of a drain"]
    drains = f"Medians of {runs} drains" if runs > 1 else "One drain"
    text = f"{drains} of {drained:,} deliveries each, on {record.machine['cores']} cores."
    if median(others) > _BUSY_CORES:
        text += "\n**The machine was busy with other programs: measure again on a quiet one.**"
    return text


def _duration(seconds: float, step: int = 1) -> str:
    """Return a duration with as many digits as the simulation knows, whose step is given in seconds."""
    if seconds < step:
        return f"< {step} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def written(page: str) -> str:
    """Return the page with the tables of all results that are kept."""
    times = Record.read(RATES_FILE)
    tables = of_rates(times)
    if FORECAST_FILE.exists():
        tables["forecast"] = of_forecast(Record.read(FORECAST_FILE))
    if CHECK_FILE.exists():
        tables["check"] = of_check(Record.read(CHECK_FILE), service_times(times))
    for name, text in tables.items():
        page = replaced(page, name, text)
    return page


def write() -> None:
    """Write the tables of all results that are kept into docs/scaling.md."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


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
