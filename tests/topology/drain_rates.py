"""`python -m tests.topology.drain_rates`: drains a backlog by one and by two worker hosts, beside the model. As root.

All hosts share the cores of this machine, and so does the model's installation. Each worker host has one process. The
standby does not confirm commits, because the model has none.
"""

import signal
import tempfile
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import click
import psycopg
from uuid_utils.compat import uuid7

from benchmarks import bodies, load, machine, scaling_tables
from benchmarks.processor_time import measured
from benchmarks.receivers import HEADERS
from benchmarks.result_files import KVITTO, Record
from benchmarks.scaling_tables import CHECK_FILE, RATES_FILE
from tests.support.process_tree import below, named, stopped
from tests.support.servers import eventually
from tests.topology.cluster import Cluster
from tests.topology.network import Network
from tests.topology.stores import require_tools

_WORKERS = ("worker-1", "worker-2")
_SECONDS = 600.0


def measure(cluster: Cluster, record: Record, hosts: Sequence[str], deliveries: int) -> None:
    """Fill the inbox while workers of these hosts stand still, then have them drain it."""
    figure = f"{len(hosts)} worker hosts"
    for name in _WORKERS:
        cluster.network[name].stop()
    for name in hosts:
        cluster.start_worker(cluster.network[name], options=["--concurrency", "1"])
        eventually(partial(_is_ready, cluster, name), f"a worker on {name}", _SECONDS)
    mark, path = uuid7(), cluster.network["client"].folder / "bodies"
    bodies.write(path, bodies.applications(deliveries))
    url = f"http://{cluster.network['ingest-1'].address}:8080/webhooks/kompar/applications"
    with stopped(*(pid for name in hosts for pid in _workers(cluster, name))):
        answers = load.post(url, HEADERS, path)
        record.remark(figure, answers.bottleneck)

    def groups() -> dict[str, list[int]]:
        primaries = {"redis": cluster.redis.in_order()[0], "postgres": cluster.postgres.primary}
        servers = {host.name: host.processes[what].pid for what, host in primaries.items()}
        return {name: [pid, *below(pid)] for name, pid in servers.items()} | {
            name: _workers(cluster, name) for name in hosts
        }

    with measured(groups) as usage:
        eventually(lambda: _stored(cluster, mark)[0] >= answers.accepted, "all stored", _SECONDS)
    number, later, first, last = _stored(cluster, mark)
    assert number == answers.accepted, f"{number} of {answers.accepted} stored"
    record.add(figure, KVITTO, later / (last - first).total_seconds(), "/s")
    record.add(figure, "other programs", usage.others, "cores")
    for name in hosts:
        record.add(figure, f"processor time of {name}", usage.seconds[name], "s")
    cluster.await_drained()


def _workers(cluster: Cluster, name: str) -> list[int]:
    pid = cluster.network[name].processes["worker"].pid
    return [pid, *below(pid)]


def _is_ready(cluster: Cluster, name: str) -> bool:
    return bool(named(cluster.network[name].processes["worker"].pid, "ForkPoolWorker"))


def _stored(cluster: Cluster, mark: UUID) -> tuple[int, int, datetime, datetime]:
    """Return how many were stored since, how many of them after the first batch, and when the first and last were."""
    query = """
        WITH stored AS MATERIALIZED (
            SELECT processed_at, min(processed_at) OVER () AS first FROM kvitto.receipts WHERE receipt > %s
        )
        SELECT count(*), count(*) FILTER (WHERE processed_at > first), min(first), max(processed_at) FROM stored
    """
    with psycopg.connect(cluster.postgres.dsn_of(cluster.postgres.primary)) as connection:
        row = connection.execute(query, [mark]).fetchone()
    assert row
    return row[0], row[1], row[2], row[3]


@click.command(epilog="Example: python -m tests.topology.drain_rates --rounds 1")
@click.option("--deliveries", type=click.IntRange(min=1000), default=15_000, help="Of each drain.", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=2, help="Drains of each kind.", show_default=True)
@click.option("--keep", is_flag=True, help="Keep the results, and write the table into docs/scaling.md.")
def main(deliveries: int, rounds: int, keep: bool) -> None:
    """Measure in turn, and print the table."""
    require_tools()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    record = Record(machine=machine.describe() | {"deliveries of a drain": deliveries})
    folder = Path(tempfile.mkdtemp(prefix="kvitto-hosts-"))
    folder.chmod(0o755)
    network = Network(folder)
    try:
        cluster = Cluster(network)
        cluster.postgres.confirm_alone()
        for turn in range(rounds):
            for number in range(1, len(_WORKERS) + 1):
                click.echo(f"{number} worker hosts, {turn + 1} of {rounds}", err=True)
                measure(cluster, record, _WORKERS[:number], deliveries)
    finally:
        network.close()
        click.echo(f"the logs are in {folder}", err=True)
    click.echo(scaling_tables.of_check(record, scaling_tables.service_times(Record.read(RATES_FILE))))
    if keep:
        record.write(CHECK_FILE)
        scaling_tables.write()


if __name__ == "__main__":
    main()
