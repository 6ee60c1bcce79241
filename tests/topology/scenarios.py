"""What happens to the hosts while deliveries arrive. Each scenario repairs what it breaks, by the steps of the docs."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support import releases
from tests.topology.cluster import Cluster
from tests.topology.network import Host

# How long something stays broken: longer than every time-out of a connection, and than a sentinel needs.
_BROKEN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`happen` breaks something and repairs it. `may_lose`: confirmed deliveries may be lost, and must be reported."""

    name: str
    happen: Callable[[Cluster], None]
    may_lose: bool = False


def _host_dies(name: str, start: Callable[[Cluster, Host], None], cluster: Cluster) -> None:
    host = cluster.network[name]
    host.die()
    time.sleep(_BROKEN_SECONDS)
    host.connect()
    start(cluster, host)


def _balancer_is_cut_off(cluster: Cluster) -> None:
    host = cluster.network["balancer"]
    host.cut()
    time.sleep(_BROKEN_SECONDS)
    host.connect()


def _primary_of_redis_is_partitioned_and_dies(cluster: Cluster) -> None:
    """Only what the replica has was confirmed, so that its promotion loses nothing."""
    primary, replica = cluster.redis.in_order()
    with primary.cut_off_from(replica):
        time.sleep(_BROKEN_SECONDS)
        primary.die()
        cluster.redis.await_promoted(replica)
    cluster.redis.start_again(primary)
    cluster.redis.await_whole()


def _unreplicated_primary_of_redis_is_partitioned_and_dies(cluster: Cluster) -> None:
    """Without INBOX_REPLICAS, what waits when the primary dies is lost with it. No worker drains it before."""
    _set_replicas(cluster, "0")
    workers = [cluster.network[name] for name in ("worker-1", "worker-2")]
    for host in workers:
        host.stop()
    _primary_of_redis_is_partitioned_and_dies(cluster)
    for host in workers:
        cluster.start_worker(host)
    _set_replicas(cluster, "1")


def _set_replicas(cluster: Cluster, number: str) -> None:
    cluster.settings["INBOX_REPLICAS"] = number
    for name in ("ingest-1", "ingest-2"):
        cluster.replace(cluster.network[name])


def _sentinel_fails_over(cluster: Cluster) -> None:
    cluster.redis.fail_over()
    cluster.redis.await_whole()


def _postgres_fails_over(cluster: Cluster) -> None:
    former = cluster.postgres.primary
    former.die()
    time.sleep(_BROKEN_SECONDS)
    cluster.postgres.fail_over()
    cluster.pgbouncer.lead_to(cluster.postgres.primary)
    time.sleep(_BROKEN_SECONDS)
    former.connect()
    cluster.postgres.follow()


def _worker_host_joins_and_leaves(cluster: Cluster) -> None:
    host = cluster.network.hosts.get("worker-3") or cluster.network.add("worker-3")
    cluster.start_worker(host)
    time.sleep(_BROKEN_SECONDS)
    host.stop()


def _clocks_differ(cluster: Cluster) -> None:
    """The clock of an ingest host and of a worker host is 5 s ahead."""
    library = cluster.network["client"].folder / "shifted_clock.so"
    source = Path(__file__).with_name("shifted_clock.c")
    words = ["gcc", "-shared", "-fPIC", "-O2", "-DCLOCK_SHIFT_SECONDS=5", "-o", str(library), str(source), "-ldl"]
    subprocess.run(words, check=True)
    hosts = [cluster.network["ingest-1"], cluster.network["worker-1"]]
    for host in hosts:
        cluster.replace(host, more={"LD_PRELOAD": str(library)})
    time.sleep(_BROKEN_SECONDS)
    for host in hosts:
        cluster.replace(host)


def _links_lose_packets(cluster: Cluster) -> None:
    """5 % of the packets to and from an ingest host are lost, and each takes 50 ms more."""
    with cluster.network["ingest-1"].bad_link(loss_percent=5, delay_ms=50):
        time.sleep(2 * _BROKEN_SECONDS)


def _release_is_upgraded_and_back(cluster: Cluster) -> None:
    """From the previous release to one with another migration, host by host, and back to this one."""
    folder = cluster.network["client"].folder
    previous, following = releases.previous(folder / "previous"), releases.following(folder / "following")
    for host in cluster.hosts_of_kvitto():
        if host.processes:
            cluster.replace(host, previous)
    cluster.migrate(following)
    for release in (following, previous):
        for host in cluster.hosts_of_kvitto():
            if host.processes:
                cluster.replace(host, release)
    for host in cluster.hosts_of_kvitto():
        if host.processes:
            cluster.replace(host)


SCENARIOS = (
    Scenario("a host of ingest dies", partial(_host_dies, "ingest-1", Cluster.start_ingest)),
    Scenario("a host of workers dies", partial(_host_dies, "worker-1", Cluster.start_worker)),
    Scenario("the balancer's link is cut", _balancer_is_cut_off),
    Scenario("Redis: the primary is cut off from its replica, then dies", _primary_of_redis_is_partitioned_and_dies),
    Scenario(
        "Redis: the same with INBOX_REPLICAS=0", _unreplicated_primary_of_redis_is_partitioned_and_dies, may_lose=True
    ),
    Scenario("Redis: the sentinels fail over", _sentinel_fails_over),
    Scenario("Postgres: the primary dies, the standby is promoted", _postgres_fails_over),
    Scenario("a host of workers joins and leaves", _worker_host_joins_and_leaves),
    Scenario("the clocks of two hosts are 5 s ahead", _clocks_differ),
    Scenario("a host of ingest has a bad link: 5 % loss, 50 ms", _links_lose_packets),
    Scenario("the release is upgraded with a migration, and back", _release_is_upgraded_and_back),
)
