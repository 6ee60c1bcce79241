"""`python -m tests.topology`: runs every scenario under load, and writes RESULTS.md. Needs root."""

import json
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tests.support.servers import eventually
from tests.topology.cluster import Cluster
from tests.topology.network import Network
from tests.topology.scenarios import SCENARIOS, Scenario
from tests.topology.stores import require_tools

_RESULTS = Path(__file__).with_name("RESULTS.md")
# Attempts before and after what happens, and at least so many meanwhile.
_ATTEMPTS = 20
_HEAD = """# Results on several hosts

`make topology` runs Kvitto on twelve hosts of one machine: a balancer, two hosts of ingest, two of
workers, Redis with a replica and three sentinels, Postgres with a synchronous standby, PgBouncer
before the hosts with an even number, and a client. Each is a network namespace with a link and an
address of its own. The client delivers all the time, and tries again as a provider does; the clock
of its retries runs 60 times as fast.

Afterwards the ledger is compared with what the client recorded, attempt by attempt. **Lost** is
what was answered 200 and is not in the ledger; **reported** is what the audit says is missing;
**doubled** is what has another outcome than its content allows.

| scenario | attempts | without a 200 | delivered | lost | reported | doubled | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a scenario ended with. `problems` is empty if it passed."""

    scenario: Scenario
    attempts: int
    failed: int
    delivered: int
    lost: int
    reported: int
    doubled: int
    seconds: float
    problems: tuple[str, ...]

    def row(self) -> str:
        """Return the row of the table."""
        cells = (
            self.scenario.name, self.attempts, self.failed, self.delivered, self.lost, self.reported, self.doubled,
            round(self.seconds),
        )  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |\n"


def _run(cluster: Cluster, scenario: Scenario, record: Path) -> Result:
    started = time.monotonic()
    problems: list[str] = []
    with cluster.load(record) as load:
        before = _await_more(record)
        scenario.happen(cluster)
        meanwhile = _count(record) - before
        _await_more(record)
    rows = cluster.await_drained()
    reported = sum(row["missing"] for row in rows)
    compared = json.loads(cluster.kvitto("audit", "--against", str(record), "--json").stdout)
    lost, doubled = (sum(row[name] for row in compared) for name in ("missing", "wrong"))
    if (lost and not scenario.may_lose) or lost > reported:
        problems.append(f"{lost} lost, {reported} reported: {_findings(compared)}")
    if meanwhile < _ATTEMPTS:
        problems.append(f"only {meanwhile} attempts were made meanwhile: the machine is too slow")
    if doubled:
        problems.append(f"{doubled} doubled: {_findings(compared)}")
    if left := load.ended["given up"] + load.ended["left"]:
        problems.append(f"{left} were never delivered")
    if reported and not scenario.may_lose:
        problems.append(f"{reported} are missing by the audit")
    for epoch in (each for row in rows for each in row["losses"] if each["missing"]):
        cluster.kvitto("audit", "--accept-loss", epoch["epoch"], "--reason", scenario.name, "--operator", "topology")
    attempts, failed = load.statuses.total(), load.statuses.total() - load.statuses["200"]
    seconds = time.monotonic() - started
    return Result(
        scenario, attempts, failed, load.ended["delivered"], lost, reported, doubled, seconds, tuple(problems)
    )


def _count(record: Path) -> int:
    """Return how many attempts are recorded."""
    return record.read_bytes().count(b"\n") if record.exists() else 0


def _await_more(record: Path) -> int:
    """Wait for further attempts; return how many are recorded."""
    wanted = _count(record) + _ATTEMPTS
    eventually(lambda: _count(record) >= wanted, "the load goes on", 200)
    return _count(record)


def _write(results: list[Result]) -> None:
    """Write the table; scenarios that did not run keep their rows."""
    rows = {line.split("|")[1].strip(): f"{line}\n" for line in _RESULTS.read_text().splitlines() if line[:1] == "|"}
    rows |= {each.scenario.name: each.row() for each in results}
    _RESULTS.write_text(_HEAD + "".join(rows[each.name] for each in SCENARIOS if each.name in rows))


def _findings(compared: list[dict[str, Any]]) -> list[Any]:
    return [finding for row in compared for finding in row["findings"]][:5]


@click.command(epilog='Example: python -m tests.topology --only "Redis"')
@click.option(
    "--only", default="", help="Run the scenarios whose name holds this; the others keep their rows of the table."
)
def main(only: str) -> None:
    """Run scenarios on a topology of hosts, and write the table."""
    chosen = [each for each in SCENARIOS if only in each.name]
    require_tools()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    results: list[Result] = []
    folder = Path(tempfile.mkdtemp(prefix="kvitto-hosts-"))
    folder.chmod(0o755)
    network = Network(folder)
    try:
        cluster = Cluster(network)
        for number, scenario in enumerate(chosen):
            click.echo(f"{scenario.name} …", err=True)
            results.append(_run(cluster, scenario, folder / f"{number}.jsonl"))
            click.echo("\n".join([results[-1].row(), *results[-1].problems]))
            _write(results)
    finally:
        network.close()
        click.echo(f"the logs are in {folder}", err=True)
    raise SystemExit(1 if any(each.problems for each in results) else 0)


if __name__ == "__main__":
    main()
