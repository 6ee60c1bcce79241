"""`kvitto up`: starts everything, keeps it running, ends cleanly, keeps its data."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.sandbox.kompar import encrypt
from app.storage.connection import create_database
from tests.e2e.test_canary import health, newest, ready
from tests.e2e.test_canary import send as canary
from tests.support import databases, process_tree, servers
from tests.support.kvitto_process import BIND, SECRETS, Running, run, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

pytestmark = pytest.mark.early


def deliver(kvitto: Running, application_id: str) -> str:
    """Deliver an application and wait for its row."""
    answer = kvitto.post("applications", encrypt({"application_id": application_id}, KEY))
    assert answer.status_code == 200
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    return str(answer.json()["receipt"])


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Running]:
    """Kvitto with two ingest processes on named servers, one of them behind a socket file, and without canaries."""
    folder = tmp_path_factory.mktemp("unusual")
    socket_file = folder / "redis.socket"
    create_database(postgres_server, "named")
    settings = SECRETS | {
        "DATABASE_URL": databases.named(postgres_server, "named"),
        "ROLE_PREFIX": "named",  # the roles kvitto_… of this server belong to another database
        "REDIS_URL": f"unix://{socket_file}?db=0",
        "CANARY_SECRET": "",
        "CANARY_MAX_AGE_SECONDS": "1",
    }
    with (
        servers.valkey(folder, "--unixsocket", str(socket_file)),
        running(folder / "data", settings, "--ingest-processes", "2") as found,
    ):
        yield found


def send(kvitto: Running, applications: int) -> None:
    """Have the sandbox send so many applications: those that were sent before, and more."""
    kinds = ("--applications", str(applications), "--decisions", "0", "--retried", "0", "--corrected", "0")
    assert kvitto.run("sandbox", "send", "kompar", *kinds).returncode == 0
    eventually(lambda: kvitto.audit()["stored"] == applications, f"{applications} stored")


def stop(kvitto: Running, how: signal.Signals) -> None:
    """Stop it; no process and no port may be left."""
    started = process_tree.below(kvitto.process.pid)
    assert len(started) > 8
    assert kvitto.stop(how) == 0
    assert [pid for pid in started if process_tree.is_running(pid)] == []
    for address in (kvitto.ingest, kvitto.console, kvitto.redis.removesuffix("/0")):
        port = int(address.rpartition(":")[2])
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_up_that_is_stopped_or_killed_leaves_no_process_and_keeps_data_and_secrets(tmp_path: Path) -> None:
    with running(tmp_path / "data", {}) as kvitto:
        send(kvitto, 3)
        stop(kvitto, signal.SIGTERM)
    with running(tmp_path / "data", {}) as kvitto:
        send(kvitto, 4)
        account = kvitto.audit()
        assert (account["appended"], account["duplicate"], account["missing"]) == (7, 3, 0)
        started = process_tree.below(kvitto.process.pid)
        kvitto.process.kill()
        kvitto.process.wait()
        eventually(lambda: not [pid for pid in started if process_tree.is_running(pid)], "all of it ended")
    with running(tmp_path / "data", {}) as kvitto:
        send(kvitto, 5)
        assert kvitto.audit()["missing"] == 0
        stop(kvitto, signal.SIGINT)


@pytest.mark.parametrize(
    "words",
    [
        ("kvitto ingest",),
        ("celeryd: ",),
        ("celery beat",),
        ("kvitto console",),
        ("bin/postgres",),
        ("valkey-server",),
    ],
    ids=["ingest", "worker", "beat", "console", "postgres", "valkey"],
)
def test_up_restarts_a_killed_process(empty_kvitto: Running, words: tuple[str, ...]) -> None:
    deliver(empty_kvitto, "before")
    earlier = process_tree.named(empty_kvitto.process.pid, *words)
    process_tree.kill(earlier[0])
    eventually(lambda: bool(set(process_tree.named(empty_kvitto.process.pid, *words)) - set(earlier)), "started again")
    eventually(empty_kvitto.is_ready, "ready")
    deliver(empty_kvitto, "after")
    assert empty_kvitto.audit()["missing"] == 0


def test_up_on_a_data_folder_in_use_fails(kvitto: Running) -> None:
    second = run("up", "--data", str(kvitto.data), environment=BIND)
    assert second.returncode == 1
    assert "is in use" in second.stderr
    assert "--data" in second.stderr


def test_up_on_a_taken_port_fails_and_starts_nothing(kvitto: Running, tmp_path: Path) -> None:
    """Even if another Kvitto holds it, whose server would share the port."""
    taken = BIND | SECRETS | {"INGEST_BIND": kvitto.ingest.removeprefix("http://")}
    done = run("up", "--data", str(tmp_path / "data"), environment=taken)
    assert done.returncode == 78
    assert "INGEST_BIND: cannot be bound" in done.stderr
    assert "postgres ready" not in done.stderr  # nothing was started
    assert not done.stdout


def test_up_with_a_provider_without_a_folder_reports_it(tmp_path: Path) -> None:
    wrong = BIND | SECRETS | {"PROVIDERS": "kompar,nobody"}
    done = run("up", "--data", str(tmp_path / "data"), environment=wrong)
    assert done.returncode == 78
    assert "'nobody', which has no folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_with_wrong_settings_reports_them(tmp_path: Path) -> None:
    wrong = BIND | SECRETS | {"KOMPAR_KEYS": "sample=short"}
    done = run("up", "--data", str(tmp_path / "data"), environment=wrong)
    assert done.returncode == 78
    assert "32-character" in done.stderr
    assert not done.stdout


def test_up_with_a_damaged_authority_reports_it(tmp_path: Path) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "authority.key").write_text("no key")
    done = run("--data", str(tmp_path), "up", "--https", environment={})
    assert (done.returncode, "authority.key is damaged: remove it" in done.stderr) == (1, True)


def test_up_without_a_canary_secret_sends_no_canary_and_all_is_healthy(unusual: Running) -> None:
    assert canary(unusual, b"{}", secret="any").status_code == 404
    eventually(lambda: len(unusual.rows("SELECT 1 FROM reporting.freshness")) == 2, "beat has every inbox swept")
    deliver(unusual, "without canaries")
    assert newest(unusual) == {}
    assert ready(unusual).status_code == 200
    for process in ("worker", "beat", "ingest", "console"):
        assert health(unusual, process)[0] == 0


def test_up_with_several_ingest_processes_survives_the_death_of_one(unusual: Running) -> None:
    edges = _serving(unusual)
    assert len(edges) == 2
    for number in range(10):
        deliver(unusual, f"before-{number}")
    process_tree.kill(edges[0])
    eventually(lambda: len(set(_serving(unusual)) - set(edges)) == 1, "another process")
    unusual.client.close()  # its connection may have been to the one that died
    unusual.client = httpx.Client(base_url=unusual.ingest, timeout=20)
    eventually(unusual.is_ready, "ready")
    for number in range(10):
        deliver(unusual, f"after-{number}")
    assert unusual.audit()["missing"] == 0


def test_up_uses_named_servers_and_leaves_them_running(unusual: Running, postgres_server: str) -> None:
    """The Redis is reached by its socket file."""
    assert unusual.database == databases.named(postgres_server, "named")
    assert unusual.redis.startswith("unix://")
    assert not process_tree.named(unusual.process.pid, "postgres -D")
    assert not process_tree.named(unusual.process.pid, "valkey-server")
    deliver(unusual, "to named servers")
    assert unusual.audit()["missing"] == 0
    assert unusual.stop() == 0
    assert unusual.rows("SELECT FROM reporting.deliveries")
    with Redis.from_url(unusual.redis) as client:
        assert client.ping()


def _serving(kvitto: Running) -> list[int]:
    """Return the ingest processes that serve: those without children of their own."""
    found = process_tree.named(kvitto.process.pid, "kvitto ingest")
    return [pid for pid in found if not process_tree.named(pid, "kvitto ingest")]
