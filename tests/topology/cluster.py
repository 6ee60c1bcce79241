"""Kvitto on the hosts: a balancer, ingest and workers twice, one side directly at Postgres and one behind PgBouncer."""

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import trustme

from app.tls import trusting
from tests.e2e.deploy.balancer import RUN
from tests.support.kvitto_process import PROGRAM, ROOT
from tests.support.recorded_load import RecordedLoad, recorded_load
from tests.support.releases import Release
from tests.support.servers import eventually
from tests.topology.network import Host, Network
from tests.topology.stores import PgBouncer, PostgresPair, RedisPair

THIS = Release(ROOT)
_SECONDS = 180.0
_RATE = 10  # deliveries per second: what is measured is not speed


class Cluster:
    """All hosts and what runs on them. `settings` may change what processes read that are started later."""

    def __init__(self, network: Network) -> None:
        for name in (
            "client", "balancer", "ingest-1", "ingest-2", "worker-1", "worker-2",
            "redis-1", "redis-2", "sentinel-3", "postgres-1", "postgres-2", "pgbouncer",
        ):  # fmt: skip
            network.add(name)
        self.network = network
        self.redis = RedisPair((network["redis-1"], network["redis-2"]), network["sentinel-3"])
        self.postgres = PostgresPair((network["postgres-1"], network["postgres-2"]))
        self.pgbouncer = PgBouncer(network["pgbouncer"])
        self.pgbouncer.lead_to(self.postgres.primary)
        self.settings = {
            "REDIS_URL": self.redis.url,
            "SEALING_KEYS": f"a={base64.b64encode(b's' * 32).decode()}",
            "FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode(),
            "INBOX_REPLICAS": "1",
            "DRAIN_SECONDS": "3",
        }
        self.migrate(THIS)
        for number in (1, 2):
            self.start_ingest(network[f"ingest-{number}"])
            self.start_worker(network[f"worker-{number}"])
        self._start_balancer(network["balancer"])

    def migrate(self, release: Release) -> None:
        """Bring the schema up to a release's."""
        words = [*PROGRAM, "migrate"]
        done = self.network["client"].run(words, self._environment("kvitto", self.postgres), release.folder)
        assert done.returncode == 0, done.stderr

    def start_ingest(self, host: Host, release: Release = THIS, more: Mapping[str, str] | None = None) -> None:
        """Start ingest, and wait until it is ready."""
        bind = {"INGEST_BIND": f"{host.address}:8080"} | dict(more or {})
        host.start("ingest", [*PROGRAM, "ingest"], self._environment_of(host, "kvitto_ingest") | bind, release.folder)
        url = f"http://{host.address}:8080/readyz"
        eventually(lambda: _answer(url) == 200, "ingest ready: ", _SECONDS, host.log("ingest"))

    def start_worker(
        self, host: Host, release: Release = THIS, more: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> None:
        """Start a worker, and a beat: two of them do no harm."""
        environment = self._environment_of(host, "kvitto_worker") | dict(more or {})
        host.start("worker", [*PROGRAM, "worker", *options], environment, release.folder)
        host.start("beat", [*PROGRAM, "beat"], environment, release.folder)

    def replace(self, host: Host, release: Release = THIS, more: Mapping[str, str] | None = None) -> None:
        """Stop the processes of Kvitto on a host, and start those of a release, or with other settings."""
        is_ingest = "ingest" in host.processes
        host.stop()
        (self.start_ingest if is_ingest else self.start_worker)(host, release, more)

    def hosts_of_kvitto(self) -> list[Host]:
        """Return the hosts of ingest and workers."""
        return [host for name, host in self.network.hosts.items() if name.startswith(("ingest", "worker"))]

    @contextmanager
    def load(self, record: Path) -> Iterator[RecordedLoad]:
        """Have the client deliver during a block, by the balancer."""
        trust = {"CA_FILE": str(self.network["balancer"].folder / "authority.pem")}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return self.network["client"].run([*PROGRAM, *words], self.settings | trust)

        url = f"https://{self.network['balancer'].address}:8443"
        with recorded_load(run, url, record, _RATE) as found:
            yield found

    def kvitto(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the owner."""
        return self.network["client"].run([*PROGRAM, *words], self._environment("kvitto", self.postgres))

    def balances(self) -> list[dict[str, Any]]:
        """Return the audit's rows; none if a server is not back yet."""
        with suppress(ValueError):
            return list(json.loads(self.kvitto("audit", "--json").stdout))
        return []

    def await_drained(self) -> list[dict[str, Any]]:
        """Wait until nothing is in flight; return the audit's rows."""
        last: list[dict[str, Any]] = []

        def is_drained() -> bool:
            last[:] = self.balances()
            return bool(last) and all(row["in_flight"] == 0 for row in last)

        eventually(is_drained, "nothing in flight", _SECONDS)
        return last

    def _environment_of(self, host: Host, role: str) -> dict[str, str]:
        """Return the settings of a host: those with an even number are behind PgBouncer."""
        return self._environment(role, self.pgbouncer if host.name.endswith("2") else self.postgres)

    def _environment(self, role: str, way: PostgresPair | PgBouncer) -> dict[str, str]:
        return self.settings | {"DATABASE_URL": way.dsn(role)}

    def _start_balancer(self, host: Host) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(host.folder / "authority.pem")
        certificate = authority.issue_cert(host.address)
        certificate.private_key_pem.write_to_path(host.folder / "key.pem")
        for position, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(host.folder / "certificate.pem", append=position > 0)
        variables = {
            "BALANCER_HOST": host.address,
            "BALANCER_PORT": "8443",
            "BALANCER_HEALTH_PORT": "8081",
            "BALANCER_INGEST_1": f"{self.network['ingest-1'].address}:8080",
            "BALANCER_INGEST_2": f"{self.network['ingest-2'].address}:8080",
            "BALANCER_CERTIFICATE": str(host.folder / "certificate.pem"),
            "BALANCER_CERTIFICATE_KEY": str(host.folder / "key.pem"),
            "HOME": str(host.folder),
        }
        host.start("caddy", [str(Path(sys.executable).parent / "caddy"), *RUN], variables)
        url, trust = f"https://{host.address}:8443/unknown", trusting(str(host.folder / "authority.pem"))
        eventually(lambda: _answer(url, trust) == 404, "Caddy: ", _SECONDS, host.log("caddy"))


def _answer(url: str, trust: ssl.SSLContext | bool = True) -> int:
    """Return the status that a server answers, 0 if it does not answer."""
    with suppress(httpx.TransportError):
        return httpx.get(url, timeout=5, verify=trust).status_code
    return 0
