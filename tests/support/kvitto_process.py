"""Runs `kvitto up` as its user would, and speaks to it from outside."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import psycopg
from psycopg.rows import dict_row
from redis import Redis

from app.tls import trusting
from tests.support import command_server, process_tree
from tests.support.metrics import scrape
from tests.support.providers.kompar_fixtures import TOKEN
from tests.support.providers.provider_fixtures import names, side
from tests.support.servers import bare_environment, copy_cluster, eventually

ROOT = Path(__file__).parents[2]
SECRETS = {name: value for each in names() for name, value in side(each).environment.items()}
BIND = {"INGEST_BIND": "127.0.0.1:0", "CONSOLE_BIND": "127.0.0.1:0", "METRICS_BIND": "127.0.0.1:0"}
# The folder that it is run in has the code: a copy, in some tests.
PROGRAM = (sys.executable, "-m", "app.cli")
_WORKER = "celeryd: "
# What a worker starts to drain an inbox if no wake-up comes. It may outlast the test that broke Redis.
_FALLBACK = "workers.fallback_sweep"
# Ingest reports every second how much it appended.
_REPORT_SECONDS = 1.5


def with_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with the providers' secrets that it does not give itself, as NAME or as NAME_FILE."""
    lacking = {name: value for name, value in SECRETS.items() if f"{name}_FILE" not in environment}
    return bare_environment() | lacking | dict(environment)


def command(*arguments: str) -> list[str]:
    """Return a `kvitto` command line."""
    return [*PROGRAM, *arguments]


def run(
    *arguments: str, environment: Mapping[str, str], seconds: float = 300, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `kvitto` command with these settings and no others, in a folder; its status is the caller's to check."""
    settings = bare_environment() | dict(environment)
    has_code = folder is not None and (folder / "app").exists()  # a copy, which a new Python imports
    if not has_code:
        return command_server.run(arguments, settings, folder, seconds)
    return subprocess.run(
        command(*arguments),
        env=settings,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        check=False,
    )


@dataclass(slots=True)
class Running:
    """A running Kvitto."""

    process: "subprocess.Popen[bytes] | command_server.Command"
    output: IO[str]
    data: Path
    ingest: str
    console: str
    database: str
    redis: str
    client: httpx.Client
    _connection: psycopg.Connection[dict[str, Any]] | None = field(default=None, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """What other commands need to reach it."""
        published: dict[str, str] = json.loads((self.data / "environment.json").read_text())
        return published

    def metrics_address(self, service: str) -> str:
        """Return host:port at which a process of `kvitto up` serves its metrics."""
        listed = json.loads((self.data / "metrics.json").read_text())
        (address,) = [each["targets"][0] for each in listed if each["labels"]["service"] == service]
        return str(address)

    def metrics(self, service: str) -> str:
        """Return what a process of `kvitto up` serves: `ingest`, `worker-kompar`, `beat` or `console`."""
        return scrape(self.metrics_address(service))

    def post(self, topic: str, body: bytes | str, token: str = TOKEN) -> httpx.Response:
        """Deliver a body as Kompar would."""
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        return self.client.post(f"/webhooks/kompar/{topic}", content=body, headers=headers)

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Query the ledger, over one connection: a new one for each look would cost ten times as much."""
        if self._connection:
            with contextlib.suppress(psycopg.OperationalError):  # the server may have been another one then
                return self._connection.execute(query, parameters).fetchall()
            self._connection.close()
        self._connection = psycopg.connect(
            self.database, autocommit=True, prepare_threshold=None, row_factory=dict_row, application_name="rows"
        )
        return self._connection.execute(query, parameters).fetchall()

    def outcome(self, receipt: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for a receipt's outcome."""
        found: list[dict[str, Any]] = []

        def is_recorded() -> bool:
            with contextlib.suppress(psycopg.OperationalError):  # a test may have broken the server
                found[:] = self.rows("SELECT * FROM reporting.deliveries WHERE receipt = %s", receipt)
            return bool(found)

        eventually(is_recorded, f"receipt {receipt} in the ledger", seconds)
        return found[0]

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a `kvitto` command beside it."""
        return run("--data", str(self.data), *arguments, environment={}, folder=folder)

    def audit(self, provider: str = "kompar") -> dict[str, int]:
        """Audit a provider's books; the command's status must agree with all of them."""
        tries: list[subprocess.CompletedProcess[str]] = []

        def reported() -> bool:
            tries.append(self.run("audit", "--json"))
            return bool(tries[-1].stdout)

        eventually(reported, "an audit: a test may have broken a server that is not back yet")
        done = tries[-1]
        accounts = json.loads(done.stdout)
        assert done.returncode == (1 if any(account["missing"] for account in accounts) else 0)
        (found,) = [account for account in accounts if account["provider"] == provider]
        return dict(found)

    def entries(self, provider: str) -> int:
        """Count the entries ever appended to an inbox."""
        with Redis.from_url(self.redis) as client:
            info: Any = client.xinfo_stream(f"inbox:{provider}") if client.exists(f"inbox:{provider}") else {}
            return int(info.get("entries-added", 0))

    def await_reported(self, provider: str) -> None:
        """Wait until the edge has reported what it appended last: from then on its loss can be proved."""
        query = (
            "SELECT 1 AS one FROM kvitto.inbox_high_water_marks WHERE provider = %s AND epoch = %s AND appended = %s"
        )

        def is_reported() -> bool:
            with Redis.from_url(self.redis) as client:
                epoch, appended = client.hmget(f"inbox:{provider}:state", "epoch", "appended")
            return not appended or bool(self.rows(query, provider, epoch.decode(), int(appended)))

        eventually(is_reported, "a mark of the last append")

    def workers(self) -> list[int]:
        """Return the workers' processes, once all of them run: `up` is ready before they are."""
        eventually(self.has_all_workers, "all workers")
        below = process_tree.below(self.process.pid)
        return [pid for pid, line in below.items() if _WORKER in line or _FALLBACK in line]

    def has_all_workers(self) -> bool:
        """Return whether each provider's worker has its name, and has forked its children."""
        commands = Counter(line for line in process_tree.below(self.process.pid).values() if _WORKER in line)
        children = [int(found[1]) for line in commands if (found := re.search(r"--concurrency (\d+)", line))]
        started = len(list(self.data.glob("logs/worker-*.log")))
        return len(children) == started and sum(children) + started == commands.total()

    def empty(self) -> None:
        """Forget every delivery in both servers, as if this Kvitto had just started; its logs begin again."""
        eventually(lambda: self.is_ready() and self.has_all_workers(), "ready")
        with Redis.from_url(self.redis) as client, psycopg.connect(self.database, autocommit=True) as connection:
            client.flushall()
            query = "SELECT string_agg(format('kvitto.%I', tablename), ', ') FROM pg_tables WHERE schemaname = 'kvitto'"
            (tables,) = connection.execute(query).fetchone() or ("",)
            left = "SELECT FROM kvitto.receipts UNION ALL SELECT FROM kvitto.inbox_high_water_marks WHERE appended > 0"
            quiet_since = time.monotonic()
            while time.monotonic() < quiet_since + _REPORT_SECONDS:  # what was under way is recorded until then
                if connection.execute(left).rowcount:
                    connection.execute(f"TRUNCATE {tables}".encode())
                    quiet_since = time.monotonic()
                time.sleep(0.1)
            connection.execute(f"TRUNCATE {tables}".encode())
        for log in self.data.glob("logs/*.log"):
            os.truncate(log, 0)

    def is_ready(self) -> bool:
        """Return whether ingest would keep a delivery."""
        with contextlib.suppress(httpx.HTTPError):
            return self.client.get("/readyz").status_code == 200
        return False

    def __del__(self) -> None:
        if self._connection:
            self._connection.close()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(120)


@contextmanager
def running(
    data: Path,
    environment: Mapping[str, str] = SECRETS,
    *options: str,
    project: Path = ROOT,
    program: Sequence[str] = PROGRAM,
) -> Iterator[Running]:
    """Run `kvitto up` on a data folder."""
    found = start(data, environment, *options, project=project, program=program)
    try:
        yield found
    finally:
        found.client.close()
        if found.process.poll() is None:
            found.stop()
        found.output.close()


def start(
    data: Path,
    environment: Mapping[str, str] = SECRETS,
    *options: str,
    project: Path = ROOT,
    program: Sequence[str] = PROGRAM,
) -> Running:
    """Start `kvitto up` and wait until it says that it is ready."""
    data.parent.mkdir(parents=True, exist_ok=True)
    if program is PROGRAM and "DATABASE_URL" not in environment:
        copy_cluster(data / "postgres")
    arguments, settings = ["up", "--data", str(data), *options], bare_environment() | BIND | dict(environment)
    process: subprocess.Popen[bytes] | command_server.Command
    reading, writing = os.pipe()
    output = os.fdopen(reading)
    with (data.parent / "up.log").open("ab") as log, os.fdopen(writing, "wb") as out, open(os.devnull, "rb") as nothing:
        if program is PROGRAM and project == ROOT:
            streams = [each.fileno() for each in (nothing, out, log)]
            process = command_server.Command(arguments, settings, project, streams)
        else:
            line = [*program, *arguments]
            process = subprocess.Popen(line, env=settings, cwd=project, stdin=nothing, stdout=out, stderr=log)
    line = output.readline().split()
    assert line[:2] == ["kvitto", "ready"], (data.parent / "up.log").read_text()
    addresses = dict(item.split("=", 1) for item in line[2:])
    authority = data / "sandbox" / "authority.pem"
    trust = trusting(str(authority) if authority.exists() else "")
    client = httpx.Client(base_url=addresses["ingest"], timeout=20, verify=trust)
    return Running(process, output, data, **addresses, client=client)
