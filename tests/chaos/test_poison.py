"""A delivery that ends its worker becomes a dead letter, and takes nothing along."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from celery import Celery
from redis import Redis
from uuid_utils.compat import uuid7

from app.crypto.sealing import SealingKeys
from app.domain.delivery import Delivery
from app.inbox.stream import Inbox
from app.sandbox.kompar import encrypt
from app.storage.connection import Connection, connect
from tests.support import process_tree
from tests.support.kvitto_process import SECRETS, Running, command, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import bare_environment, eventually

ROOT = Path(__file__).parents[2]
# What a fatal bug in our own code, or in a library, would look like.
BUG = '''
    def open(self, topic: str, headers: Mapping[str, str], body: bytes) -> Payload:
        """Open, with a bug."""
        payload = self._open(topic, headers, body)
        match payload.content.get("bug"):
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(0)
            case "endless":
                while True:
                    pass
            case "endless in C":
                "a" * 64 == re.match(r"(a+)+b", "a" * 64)
        return payload

    def _open('''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with fatal bugs, and time limits that end a test in time."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("app", "workers", "config"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(copy / "app/providers/kompar/events.py", "\n    def open(", BUG)
    _edit(
        copy / "app/providers/kompar/events.py",
        "\nfrom collections.abc",
        "\nimport ctypes, os, re, signal\nfrom collections.abc",
    )
    _edit(copy / "config/celery.py", "DRAIN_LIMIT_SECONDS = 5.0", "DRAIN_LIMIT_SECONDS = 1.0")
    _edit(copy / "config/celery.py", '"task_time_limit": 30', '"task_time_limit": 3')
    _edit(copy / "config/celery.py", '"task_soft_time_limit": 25', '"task_soft_time_limit": 2')
    return copy


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture
def kvitto(project: Path, tmp_path: Path) -> Iterator[Running]:
    environment = SECRETS | {"PYTHONPATH": str(project), "PROVIDERS": "kompar"}
    with running(tmp_path / "data", environment, "--concurrency", "1", project=project) as found:
        yield found


def send(kvitto: Running, application_id: str, bug: str | None = None) -> str:
    answer = kvitto.post("applications", encrypt({"application_id": application_id, "bug": bug}, KEY))
    return str(answer.json()["receipt"])


@pytest.mark.parametrize("bug", ["killed", "segfault", "endless", "endless in C"])
def test_what_ends_its_worker_becomes_a_dead_letter_and_the_others_are_stored(kvitto: Running, bug: str) -> None:
    with psycopg.connect(kvitto.database, autocommit=True) as connection:  # one batch of them all
        connection.execute("SELECT pg_advisory_lock(hashtextextended('kvitto/kompar', 0))")
        good = [send(kvitto, f"good-{number}") for number in range(10)]
        bad = send(kvitto, "bad", bug)
        good += [send(kvitto, f"good-{number}") for number in range(10, 20)]
    for receipt in good:
        assert kvitto.outcome(receipt, 90)["outcome"] == "stored"
    delivery = kvitto.outcome(bad, 90)
    assert (delivery["outcome"], delivery["reason"]) == ("dead", "worker-crash")
    assert kvitto.outcome(send(kvitto, "after"))["outcome"] == "stored"
    account = kvitto.audit()
    assert (account["stored"], account["dead"], account["in_flight"], account["missing"]) == (21, 1, 0, 0)
    assert kvitto.rows("SELECT * FROM kvitto.isolated_attempts") == []


def test_a_large_one_in_the_overflow_is_found_too(kvitto: Running) -> None:
    answer = kvitto.post("applications", encrypt({"application_id": "x", "bug": "killed", "note": "x" * 400_000}, KEY))
    assert kvitto.outcome(answer.json()["receipt"], 300)["reason"] == "worker-crash"
    assert kvitto.audit()["overflowed"] == 1


def test_ten_restarts_in_a_row_make_no_dead_letter(database: str, valkey_server: str, redis: Redis) -> None:
    seals = SealingKeys((("a", b"s" * 32),))
    inbox = Inbox(redis, "kompar")
    for number in range(5):
        receipt = uuid7()
        sealed = seals.seal(receipt, encrypt({"application_id": f"{number}"}, KEY))
        inbox.append(Delivery(receipt, "kompar", "applications", {}, sealed))
    environment = bare_environment() | SECRETS | {"DATABASE_URL": database, "REDIS_URL": valkey_server}
    environment |= {"SEALING_KEYS": f"a={_base64(b's')}", "FINGERPRINT_KEY": _base64(b"f"), "PROVIDERS": "kompar"}
    celery = Celery(set_as_current=False, broker=valkey_server)
    with connect(database, "test") as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('kvitto/kompar', 0))")
        for _ in range(10):
            with _worker(environment) as worker:
                celery.send_task("sweep", ["kompar"], queue="kompar")  # its slot may be another than the last one's
                eventually(lambda: _is_trying(connection), "a worker that waits for the ledger", 60)
                os.killpg(worker.pid, signal.SIGKILL)
            connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'kvitto-ledger-kompar' AND datname = current_database()
                """
            )
        connection.execute("SELECT pg_advisory_unlock_all()")
        with _worker(environment) as worker:
            celery.send_task("sweep", ["kompar"], queue="kompar")
            query = "SELECT count(*) AS n FROM reporting.deliveries WHERE outcome = 'stored'"
            eventually(lambda: next(iter(connection.execute(query))).n == 5, "all stored", 60)
            worker.terminate()
        assert list(connection.execute("SELECT * FROM reporting.dead_letters")) == []
    celery.close()


def _base64(letter: bytes) -> str:
    return base64.b64encode(letter * 32).decode()


def _worker(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("worker", "--provider", "kompar", "--concurrency", "1"),
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _is_trying(connection: Connection) -> bool:
    waiting = """
        SELECT 1 FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND application_name = 'kvitto-ledger-kompar' AND datname = current_database()
    """
    return connection.execute(waiting).fetchone() is not None


def test_an_outage_of_postgres_makes_no_dead_letter(fresh_kvitto: Running) -> None:
    kvitto = fresh_kvitto
    postgres = process_tree.named(kvitto.process.pid, "postgres", "-D")
    receipts = [send(kvitto, f"{number}") for number in range(5)]
    for _ in range(4):
        os.kill(postgres[0], signal.SIGINT)  # connections are cut, and the supervisor starts it again
        time.sleep(1)
        receipts.append(send(kvitto, f"{len(receipts)}"))
        eventually(lambda: len(process_tree.named(kvitto.process.pid, "postgres", "-D")) > 0, "postgres again")
        postgres = process_tree.named(kvitto.process.pid, "postgres", "-D")
    for receipt in receipts:
        assert kvitto.outcome(receipt, 90)["outcome"] == "stored"
    assert json.dumps(kvitto.rows("SELECT * FROM reporting.dead_letters")) == "[]"
