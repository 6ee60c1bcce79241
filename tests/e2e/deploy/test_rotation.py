"""Every secret is changed under load, in its file alone: no process restarts, no request fails, nothing is lost."""

import base64
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from redis import Redis

from app.crypto.sealing import SealingKeys
from app.sandbox.kompar import encrypt
from tests.e2e.deploy.balancer import Balancer, balancer
from tests.e2e.deploy.clients import sending
from tests.e2e.deploy.edges import edges
from tests.e2e.deploy.load import PATH
from tests.support.kvitto_process import command, run, with_secrets
from tests.support.providers.kompar_fixtures import KEY, TOKEN
from tests.support.redis_server import RedisServer
from tests.support.servers import eventually

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
FINGERPRINT = base64.b64encode(b"f" * 32).decode()
NEW_TOKEN, NEW_KEY, NEW_PASSWORD = "token-of-the-new-kind", "n" * 32, "another-password-of-redis"


class Stack:
    """Two edges behind a balancer and a worker, which read their secrets from files."""

    def __init__(self, folder: Path, secrets: Mapping[str, str]) -> None:
        self._folder = folder / "secrets"
        self._folder.mkdir()
        self._logs = {"ingest": ["ingest-1.log", "ingest-2.log"], "worker": ["worker.log"]}
        self._logs = {reader: [str(folder / name) for name in names] for reader, names in self._logs.items()}
        self.environment = {"PROVIDERS": "kompar", "FINGERPRINT_KEY": FINGERPRINT}
        for name, text in secrets.items():
            self.write(name, text)
            self.environment[f"{name}_FILE"] = str(self._folder / name)

    @contextmanager
    def running(self, folder: Path) -> Iterator[Balancer]:
        """Run all of it. None of the processes ends before the block."""
        with ExitStack() as stack:
            edges_found = stack.enter_context(edges(folder, self.environment))
            front = stack.enter_context(balancer(folder, [edge.address for edge in edges_found]))
            with (folder / "worker.log").open("ab") as log:
                worker = subprocess.Popen(
                    command("worker", "--concurrency", "1"),
                    env=with_secrets(self.environment),
                    stdout=log,
                    stderr=log,
                )
            stack.callback(worker.wait, 60)
            stack.callback(worker.terminate)
            yield front
            assert [process.poll() for process in (worker, *(edge.process for edge in edges_found))] == [None] * 3

    def write(self, name: str, text: str) -> None:
        """Replace a file, as a volume of secrets does."""
        new = self._folder / "new"
        new.write_text(text)
        new.rename(self._folder / name)

    def rotate(self, name: str, text: str, *readers: str) -> None:
        """Replace a file, and wait until each process of these kinds has taken it."""
        before = self._taken(*readers)
        self.write(name, text)
        eventually(lambda: all(now > then for now, then in zip(self._taken(*readers), before, strict=True)), name)

    def logs(self) -> str:
        """Return what all processes logged."""
        return "".join(Path(path).read_text() for paths in self._logs.values() for path in paths)

    def _taken(self, *readers: str) -> list[int]:
        return [Path(path).read_text().count('"secrets_taken"') for each in readers for path in self._logs[each]]


@pytest.mark.early
def test_every_secret_is_rotated_under_load_without_a_restart(database: str, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis", "first-password-of-redis")
    redis.start()
    stack = Stack(
        tmp_path,
        {
            "KOMPAR_TOKENS": TOKEN,
            "KOMPAR_KEYS": f"sample={KEY}",
            "SEALING_KEYS": f"old={OLD}",
            "REDIS_URL": redis.url,
            "DATABASE_URL": database,
        },
    )
    with psycopg.connect(database, autocommit=True) as connection:
        before = count(connection)
        with stack.running(tmp_path) as front, front.client() as client:

            def status(token: str, key: str, name: str) -> int:
                body = encrypt({"application_id": name}, key)
                return client.post(PATH, content=body, headers={"Authorization": f"token {token}"}).status_code

            with sending(2, front.connection) as sent:
                eventually(lambda: count(connection) - before > 20, "a worker that processes")
                stack.rotate("KOMPAR_KEYS", f"new={NEW_KEY},sample={KEY}", "worker")
                stack.rotate("KOMPAR_TOKENS", f"{NEW_TOKEN},{TOKEN}", "ingest")
                assert status(NEW_TOKEN, NEW_KEY, "under-new-secrets") == 200
                stack.rotate("SEALING_KEYS", f"old={OLD},new={NEW}", "ingest", "worker")
                stack.rotate("SEALING_KEYS", f"new={NEW},old={OLD}", "ingest", "worker")
                sent.await_more(20)
                change_password(redis, stack)
                sent.await_more(40)
            stack.rotate("KOMPAR_TOKENS", NEW_TOKEN, "ingest")
            assert status(TOKEN, KEY, "under-an-old-token") == 401
            eventually(lambda: count(connection) - before > sent.counts["200"], "all in the ledger")
        assert sent.counts.keys() == {"200"}
        assert count(connection) - before == sent.counts["200"] + 1
        query = "SELECT count(*) FROM reporting.kompar_applications WHERE application_id = 'under-new-secrets'"
        assert connection.execute(query).fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM reporting.dead_letters").fetchone() == (0,)
        check_reseal(connection, stack.environment)
    assert not [each for each in (NEW_TOKEN, NEW_KEY, NEW, NEW_PASSWORD) if each in stack.logs()]
    redis.kill()


def change_password(redis: RedisServer, stack: Stack) -> None:
    """Change the password of Redis, then in the file, and close all connections, as a restart of Redis does."""
    with Redis.from_url(redis.url) as administrator:
        administrator.config_set("requirepass", NEW_PASSWORD)
        stack.write("REDIS_URL", redis.url.replace("first-password-of-redis", NEW_PASSWORD))
        administrator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def check_reseal(connection: psycopg.Connection, environment: Mapping[str, str]) -> None:
    """Seal all bodies again, and open each with the new key alone."""
    assert labels(connection) == {"old", "new"}
    resealed = run("reseal", environment=environment)
    assert resealed.returncode == 0, resealed.stderr
    assert labels(connection) == {"new"}
    assert run("reseal", environment=environment).stdout == "0 bodies sealed again\n"
    alone = SealingKeys((("new", base64.b64decode(NEW)),))
    for receipt, sealed in connection.execute("SELECT receipt, ciphertext FROM kvitto.bodies").fetchall():
        assert alone.unseal(UUID(str(receipt)), sealed)


def count(connection: psycopg.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM reporting.deliveries").fetchone() or (0,)
    return int(found)


def labels(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute("SELECT ciphertext FROM kvitto.bodies").fetchall()
    return {SealingKeys.key_of(row[0]) for row in rows}
