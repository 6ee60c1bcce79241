"""An upgrade with a migration under load, and back: the previous release and the next one run at once on one inbox.

No request fails, nothing is lost, and nothing counts twice. The previous release comes from git.
"""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import psycopg
import pytest

from app.storage.connection import create_database
from tests.e2e.deploy.balancer import balancer
from tests.e2e.deploy.edges import START_SECONDS
from tests.support import releases, servers
from tests.support.kvitto_process import SECRETS, run
from tests.support.ports import free_port
from tests.support.recorded_load import recorded_load
from tests.support.releases import Release
from tests.support.servers import eventually, status_of

# Deliveries that are stored before the next step.
_BY_RELEASE = 40


class Host:
    """An ingest process and a worker, of a release that can be replaced by another."""

    def __init__(self, folder: Path, number: int, release: Release, environment: Mapping[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._environment = dict(environment) | {"INGEST_BIND": self.address, "DRAIN_SECONDS": "3"}
        self._log = folder / f"host-{number}.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start(release)

    def start(self, release: Release) -> None:
        """Start the processes of a release, and return once ingest is ready."""
        self._processes = [
            release.start("ingest", environment=self._environment, log=self._log),
            release.start("worker", environment=self._environment, log=self._log),
        ]
        url = f"http://{self.address}/readyz"
        eventually(lambda: status_of(url) == 200, "ingest ready: ", START_SECONDS, self._log)

    def stop(self) -> None:
        """Stop them as an engine does."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(60)

    def replace(self, release: Release) -> None:
        """Stop the processes, and start those of another release."""
        self.stop()
        self.start(release)

    def log(self) -> str:
        """Return what all processes logged."""
        return self._log.read_text()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with servers.postgres(tmp_path) as postgres, servers.valkey(tmp_path) as redis:
        create_database(postgres, "kvitto")
        key = base64.b64encode(b"k" * 32).decode()
        yield {
            "REDIS_URL": redis,
            "DATABASE_URL": postgres.replace("/postgres", "/kvitto"),
            "SEALING_KEYS": f"a={key}",
            "FINGERPRINT_KEY": base64.b64encode(b"f" * 32).decode(),
        } | SECRETS


def migrate(release: Release, environment: Mapping[str, str]) -> None:
    done = release.run("migrate", environment=environment)
    assert done.returncode == 0, done.stderr


def count(connection: psycopg.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM reporting.deliveries").fetchone() or (0,)
    return int(found)


def test_releases_replace_each_other_under_load(tmp_path: Path, environment: dict[str, str]) -> None:
    old, new = releases.previous(tmp_path / "old"), releases.following(tmp_path / "new")
    migrate(old, environment)
    hosts = [Host(tmp_path, number, old, environment) for number in (1, 2)]
    record = tmp_path / "sent.jsonl"
    send = partial(run, environment=environment | {"CA_FILE": str(tmp_path / "authority.pem")})
    beat = old.start("beat", environment=environment, log=tmp_path / "beat.log")
    try:
        with (
            balancer(tmp_path, [host.address for host in hosts]) as front,
            psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection,
            recorded_load(send, f"https://{front.host}:{front.port}", record, rate=10) as load,
        ):

            def await_stored() -> None:
                before = count(connection)
                eventually(lambda: count(connection) >= before + _BY_RELEASE, "deliveries are stored", 120)

            await_stored()
            migrate(new, environment)
            await_stored()  # the previous release on the next one's schema
            for release in (new, old):
                for host in hosts:
                    host.replace(release)
                    await_stored()  # both at once, then one alone
        assert load.statuses.keys() == {"200"}
        assert load.ended["delivered"] > 6 * _BY_RELEASE
        against = run("audit", "--against", str(record), environment=environment)
        assert against.returncode == 0, against.stdout
        audit = json.loads(run("audit", "--json", environment=environment).stdout)
        assert {(row["missing"], row["in_flight"]) for row in audit} == {(0, 0)}
    finally:
        for host in hosts:
            host.stop()
        beat.terminate()
        beat.wait(60)
    for host in hosts:
        assert not [word for word in ("delivery_stuck", "entry_unreadable", "drain_failed") if word in host.log()]
