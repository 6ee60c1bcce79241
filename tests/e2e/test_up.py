"""`kvitto up`: starts everything, keeps it running, ends cleanly, keeps its data."""

import signal
import socket
from pathlib import Path

import httpx
import pytest

from app.sandbox.kompar import encrypt
from app.storage.connection import create_database
from tests.support import databases, process_tree, servers
from tests.support.kvitto_process import BIND, SECRETS, Running, run, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually


def deliver(kvitto: Running, application_id: str) -> str:
    """Deliver an application and wait for its row."""
    answer = kvitto.post("applications", encrypt({"application_id": application_id}, KEY))
    assert answer.status_code == 200
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    return str(answer.json()["receipt"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_up_that_is_stopped_exits_0_and_leaves_no_process_and_no_port(tmp_path: Path, how: signal.Signals) -> None:
    with running(tmp_path / "data") as kvitto:
        started = process_tree.below(kvitto.process.pid)
        assert len(started) > 8
        assert kvitto.stop(how) == 0
        assert [pid for pid in started if process_tree.is_running(pid)] == []
        for address in (kvitto.ingest, kvitto.console, kvitto.redis.removesuffix("/0")):
            port = int(address.rpartition(":")[2])
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_up_keeps_data_and_secrets_over_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "data", {}) as kvitto:
        kvitto.run(
            "sandbox", "send", "kompar", "--applications", "3", "--decisions", "0", "--retried", "0", "--corrected", "0"
        )
        eventually(lambda: kvitto.audit()["stored"] == 3, "three stored")
    with running(tmp_path / "data", {}) as kvitto:
        kvitto.run(
            "sandbox", "send", "kompar", "--applications", "4", "--decisions", "0", "--retried", "0", "--corrected", "0"
        )
        eventually(lambda: kvitto.audit()["stored"] == 4, "one more stored")
        account = kvitto.audit()
        assert (account["appended"], account["duplicate"], account["missing"]) == (7, 3, 0)


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
    first = process_tree.named(empty_kvitto.process.pid, *words)[0]
    process_tree.kill(first)
    eventually(lambda: bool(set(process_tree.named(empty_kvitto.process.pid, *words)) - {first}), "started again")
    eventually(empty_kvitto.is_ready, "ready")
    deliver(empty_kvitto, "after")
    assert empty_kvitto.audit()["missing"] == 0


def test_up_that_is_killed_ends_its_processes_and_starts_again(tmp_path: Path) -> None:
    with running(tmp_path / "data") as kvitto:
        deliver(kvitto, "before")
        started = process_tree.below(kvitto.process.pid)
        kvitto.process.kill()
        kvitto.process.wait()
        eventually(lambda: not [pid for pid in started if process_tree.is_running(pid)], "all of it ended")
    with running(tmp_path / "data") as kvitto:
        deliver(kvitto, "after")
        assert kvitto.audit()["missing"] == 0


def test_up_on_a_data_folder_in_use_fails(kvitto: Running) -> None:
    second = run("up", "--data", str(kvitto.data), environment=BIND)
    assert second.returncode == 1
    assert "is in use" in second.stderr
    assert "--data" in second.stderr


def test_up_uses_named_servers_and_leaves_them_running(
    tmp_path: Path, postgres_server: str, valkey_server: str
) -> None:
    create_database(postgres_server, "named")
    database = databases.named(postgres_server, "named")
    # The roles kvitto_… of this server belong to another database.
    named = {"DATABASE_URL": database, "REDIS_URL": valkey_server, "ROLE_PREFIX": "named"}
    with running(tmp_path / "data", SECRETS | named) as kvitto:
        assert (kvitto.database, kvitto.redis) == (database, valkey_server)
        assert not process_tree.named(kvitto.process.pid, "postgres -D")
        deliver(kvitto, "a")
    port = int(valkey_server.removesuffix("/0").rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) == 0


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


def test_up_works_with_a_redis_behind_a_socket_file(tmp_path: Path) -> None:
    socket_file = tmp_path / "redis.socket"
    settings = SECRETS | {"REDIS_URL": f"unix://{socket_file}?db=0"}
    with servers.valkey(tmp_path, "--unixsocket", str(socket_file)), running(tmp_path / "data", settings) as kvitto:
        deliver(kvitto, "a")
        assert kvitto.audit()["missing"] == 0


def test_up_with_several_ingest_processes_survives_the_death_of_one(tmp_path: Path) -> None:
    with running(tmp_path / "data", SECRETS, "--ingest-processes", "2") as kvitto:
        edges = _serving(kvitto)
        assert len(edges) == 2
        for number in range(10):
            deliver(kvitto, f"before-{number}")
        process_tree.kill(edges[0])
        eventually(lambda: len(set(_serving(kvitto)) - set(edges)) == 1, "another process")
        kvitto.client.close()  # its connection may have been to the one that died
        with httpx.Client(base_url=kvitto.ingest, timeout=10) as kvitto.client:
            eventually(kvitto.is_ready, "ready")
            for number in range(10):
                deliver(kvitto, f"after-{number}")
        assert kvitto.audit()["missing"] == 0
        assert kvitto.stop() == 0


def _serving(kvitto: Running) -> list[int]:
    """Return the ingest processes that serve: those without children of their own."""
    found = process_tree.named(kvitto.process.pid, "kvitto ingest")
    return [pid for pid in found if not process_tree.named(pid, "kvitto ingest")]
