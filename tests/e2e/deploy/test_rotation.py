"""The sealing key is changed under load: no request fails, and every body can be opened with the new key alone."""

import base64
import subprocess
from pathlib import Path
from uuid import UUID

import psycopg

from app.crypto.sealing import SealingKeys
from tests.e2e.deploy.balancer import balancer
from tests.e2e.deploy.clients import sending
from tests.e2e.deploy.edges import edges
from tests.support.kvitto_process import SECRETS, command, run
from tests.support.servers import bare_environment, eventually, valkey

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))


def test_the_sealing_key_is_rotated_under_load(database: str, tmp_path: Path) -> None:
    keys = tmp_path / "sealing_keys"
    keys.write_text(f"old={OLD}")
    with (
        valkey(tmp_path) as redis,
        edges(tmp_path, environment := settings(redis, database, keys)) as found,
        balancer(tmp_path, [edge.address for edge in found]) as front,
        psycopg.connect(database, autocommit=True) as connection,
    ):
        before = count(connection)
        worker = Worker(environment, tmp_path / "worker.log")
        with sending(2, front.connection) as sent:
            sent.await_more(20)

            def step(text: str) -> None:
                keys.write_text(text)
                worker.restart()
                for edge in found:
                    edge.restart()
                sent.await_more(20)

            step(f"old={OLD},new={NEW}")  # everyone can open what the new key will seal
            step(f"new={NEW},old={OLD}")
        eventually(lambda: count(connection) - before >= sent.counts["200"], "all in the ledger")
        worker.stop()
        assert sent.counts.keys() == {"200"}
        assert labels(connection) == {"old", "new"}
        resealed = run("reseal", environment=environment)
        assert resealed.returncode == 0, resealed.stderr
        assert labels(connection) == {"new"}
        assert run("reseal", environment=environment).stdout == "0 bodies sealed again\n"
        alone = SealingKeys((("new", base64.b64decode(NEW)),))
        for receipt, sealed in connection.execute("SELECT receipt, ciphertext FROM kvitto.bodies").fetchall():
            assert alone.unseal(UUID(str(receipt)), sealed)
        dead = "SELECT count(*) FROM reporting.dead_letters WHERE reason = 'wrong-key'"
        assert connection.execute(dead).fetchone() == (0,)


def settings(redis: str, database: str, keys: Path) -> dict[str, str]:
    return {"REDIS_URL": redis, "DATABASE_URL": database, "SEALING_KEYS_FILE": str(keys)}


class Worker:
    """A `kvitto worker` with beat, for Kompar."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        fingerprint = base64.b64encode(b"f" * 32).decode()
        own = SECRETS | environment | {"PROVIDERS": "kompar", "FINGERPRINT_KEY": fingerprint}
        self._environment = bare_environment() | own
        self._log = log
        self._process = self._start()

    def restart(self) -> None:
        self.stop()
        self._process = self._start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command("worker", "--provider", "kompar"), env=self._environment, stdout=log, stderr=log
            )


def count(connection: psycopg.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM reporting.deliveries").fetchone() or (0,)
    return int(found)


def labels(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute("SELECT ciphertext FROM kvitto.bodies").fetchall()
    return {SealingKeys.key_of(row[0]) for row in rows}
