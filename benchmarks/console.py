"""Console: each of its pages over millions of deliveries.

An own Postgres, filled by SQL, and the console's own process, which is asked over HTTP. The panels of the dashboard
that reads the ledger run over the same rows. Beside each look there is one at a bare indexed query. Every look is on a
page of its own, CONSOLE.md; what goals are about is among the results of the other benchmarks, too.
"""

import statistics
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from app.console.access import COOKIE, Session
from app.domain.high_water_mark import new_epoch
from app.storage import periods, reports
from app.storage.connection import connect, session
from app.storage.ledger import Ledger
from benchmarks import bodies, growth, machine, processed
from benchmarks.console_pages import DELIVERIES, EVERY, GOAL_MS, START, Look, looks
from benchmarks.result_files import KVITTO, Record
from benchmarks.tables import table
from benchmarks.workload_size import Volume
from deploy.monitoring.dashboards import LOAN_PIPELINE
from tests.support import databases, servers
from tests.support.console_client import as_console, begin_session
from tests.support.dashboards import filled
from tests.support.kvitto_process import command
from tests.support.ports import free_port

_PAIRS = 7
_BARE = "bare indexed query"
_NEWEST = "SELECT receipt, provider, topic, outcome, received_at FROM kvitto.receipts ORDER BY receipt DESC LIMIT 50"
# What a server of such a ledger has at least. Filling is one long write: it needs few checkpoints, and one vacuum.
SERVER = ("-cshared_buffers=1GB", "-cmax_wal_size=8GB", "-ccheckpoint_timeout=1h", "-cautovacuum=off")
_OPERATORS = (Path(__file__).parent / "operators.sql").read_text()
_PASSWORD = "password-of-machines"


def measure(volume: Volume, folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks; keep every look in a file of its own, since there are a thousand."""
    rows = volume.aged
    say(f"filling a ledger: {rows:,} deliveries")
    looked = _measured(rows, say)
    (folder / "CONSOLE.md").write_text(page(looked, rows), encoding="utf-8")
    looked.write(folder / "console.json")
    for figure, name in {START: "overview", DELIVERIES: "deliveries newest"}.items():
        for milliseconds in looked.values(name):
            record.add(figure, KVITTO, milliseconds, "ms")
    for name in dict.fromkeys(point.figure for point in looked.points):
        record.add(EVERY, KVITTO, statistics.median(looked.values(name)), "ms")


def _measured(rows: int, say: Callable[[str], None]) -> Record:
    """Return every look."""
    looked = Record(machine.describe())
    with tempfile.TemporaryDirectory() as name, servers.postgres(folder := Path(name), *SERVER) as server:
        folder.chmod(0o755)
        databases.prepare(server)
        dsn = databases.create(server)
        fill(dsn, rows)
        with servers.valkey(folder) as redis, serve(dsn, redis, folder) as client:
            say("looking at each page and panel")
            _look(looked, dsn, client)
    return looked


def fill(dsn: str, rows: int) -> None:
    """Store an application, and fill the ledger with others like it, and with what operators leave."""
    with closing(Ledger(dsn, "kompar")) as ledger, connect(dsn, "bench") as connection:
        ledger.store([processed.application(next(iter(bodies.applications(1))), new_epoch(), 0)])
        growth.fill(dsn, 0, rows)
        connection.execute("SET statement_timeout = 0")
        connection.execute(_OPERATORS.encode(), {"total": rows})
        connection.execute("ANALYZE")
        for provider in ("kompar", "solaris"):
            with closing(Ledger(dsn, provider)) as of_provider:
                of_provider.close_periods()
            periods.recount(connection, provider, everything=True)
        connection.execute("CHECKPOINT")


@contextmanager
def serve(dsn: str, redis: str, folder: Path) -> Iterator[tuple[httpx.Client, Session]]:
    """Serve the console in its own process and role; yield a client that is logged in, and its session."""
    port = free_port()
    environment = {
        "DATABASE_URL": as_console(dsn),
        "REDIS_URL": redis,
        "CONSOLE_BIND": f"127.0.0.1:{port}",
        "CONSOLE_PASSWORD": _PASSWORD,
        "FINGERPRINT_KEY": b64encode(b"k" * 32).decode(),
    }
    settings = [f"{name}={value}" for name, value in (servers.bare_environment() | environment).items()]
    operator = begin_session(dsn, "operator")
    with (
        servers.serving(["env", "-i", *settings, *command("console")], folder / "console.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies={COOKIE: operator.cookie}, timeout=60) as client,
    ):
        servers.eventually(partial(_is_alive, client), "the console serves", 300, folder / "console.log")
        yield client, operator


def _is_alive(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").is_success
    except httpx.TransportError:
        return False


def _look(record: Record, dsn: str, served: tuple[httpx.Client, Session]) -> None:
    """Measure each page, the start of each export and each panel, in turn with a bare query."""
    client, operator = served
    with connect(dsn, "bench") as connection:
        wanted = looks(connection)
    for look in wanted:
        _pairs(record, dsn, look.name, partial(_ask, client, operator, look))
    dashboard = dsn.replace("//kvitto@", "//kvitto_dashboard@")
    for panel in LOAN_PIPELINE:
        for query, _ in panel.queries:
            _pairs(record, dsn, f"panel {panel.title}", partial(_query, dashboard, filled(query)))


def _pairs(record: Record, dsn: str, name: str, look: Callable[[], Any]) -> None:
    look()  # reads from the disk what a first look has to
    for _ in range(_PAIRS):
        record.add(name, _BARE, _milliseconds(partial(_bare, dsn)), "ms")
        record.add(name, KVITTO, _milliseconds(look), "ms")


def _ask(client: httpx.Client, operator: Session, look: Look) -> None:
    """Load a page; of an export, its first row."""
    if look.searched:
        fields = {"token": operator.form_token, "q": look.searched}
        answer = client.post(look.path, data=fields, headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=True)
        status = answer.status_code
    elif look.is_export:
        with client.stream("GET", look.path) as answer:
            lines = answer.iter_lines()
            next(lines), next(lines, "")
            status = answer.status_code
    else:
        status = client.get(look.path, auth=("", _PASSWORD) if look.path == "/metrics" else None).status_code
    if status != look.status:
        raise RuntimeError(f"{look.name}: {status} instead of {look.status}")


def _query(dsn: str, statement: str) -> None:
    with session(dsn, "dashboard") as connection:
        reports.query(connection, statement)


def _bare(dsn: str) -> None:
    with session(dsn, "bench") as connection:
        if len(connection.execute(_NEWEST).fetchall()) < 50:
            raise RuntimeError("the ledger is empty")


def _milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def page(record: Record, rows: int) -> str:
    """Return the table, and how it came about, as Markdown."""
    names = list(dict.fromkeys(point.figure for point in record.points))
    lines = []
    for name in names:
        found, by_bare = record.spread(name), record.ratio(name, _BARE)
        assert found
        assert by_bare
        between = f"{found.least:.0f} – {found.greatest:.0f}"
        met = "yes" if found.median <= GOAL_MS else "NO"
        lines.append((name, f"{found.median:.0f}", between, f"{by_bare.median:.1f}", met))
    facts = ", ".join(f"{name} {value}" for name, value in record.machine.items() if name != "versions")
    head = (f"over {rows:,} deliveries", "ms", "from – to", "by bare query", "≤ 200 ms")
    return f"""# The console over {rows:,} deliveries

Written by `python -m benchmarks --only console`; every value is in console.json. Medians of {_PAIRS} looks in turn with
a bare query: the newest 50 receipts by the primary key, on a connection of its own as each page has one. A first look
is not counted. Machine: {facts}.

{table(head, lines)}
"""
