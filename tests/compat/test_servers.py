"""Kvitto keeps what it promises on each version of its servers."""

import signal

import pytest

from app.sandbox.kompar import encrypt
from tests.compat.conftest import Servers
from tests.e2e.test_vectors import GROUPS, check_group
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.providers.provider_fixtures import Sample, names
from tests.support.servers import eventually


def test_the_check_finds_no_fault(kvitto: Running) -> None:
    done = kvitto.run("check")
    assert done.returncode == 0, done.stdout
    assert " 0 fault" in done.stdout


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].name)
def test_samples_have_the_expected_outcome(kvitto: Running, group: list[Sample]) -> None:
    check_group(kvitto, group)


def test_a_load_with_faults_is_stored_once(kvitto: Running) -> None:
    record = str(kvitto.data / "sent.jsonl")
    faults = ["duplicate=5%", "fewer-fields=5%", "corrected=5%", "wrong-key=5%", "cut=5%", "lost-timers=2%"]
    options = [word for each in faults for word in ("--fault", each)]
    sent = kvitto.run("sandbox", "send", "--rate", "20/s", "--duration", "5s", "--record", record, *options)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert_everything_arrived(kvitto)
    done = kvitto.run("audit", "--against", record)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_what_was_accepted_survives_a_killed_server(kvitto: Running, servers: Servers, server: str) -> None:
    receipts = [accepted(kvitto, f"before-{server}-{number}") for number in range(10)]
    how = signal.SIGKILL if server == "redis" else signal.SIGQUIT  # Postgres' own word for ending without a checkpoint
    servers.end(server, how)
    receipts += [accepted(kvitto, f"without-{server}-{number}") for number in range(10)]
    servers.start_redis() if server == "redis" else servers.start_postgres()
    for receipt in receipts:
        assert kvitto.outcome(receipt, 60)["outcome"] == "stored"
    eventually(kvitto.is_ready, "ready")
    assert_everything_arrived(kvitto)


def accepted(kvitto: Running, application_id: str) -> str:
    """Deliver an application, again if it was refused as a provider would; return its receipt."""
    receipts: list[str] = []

    def is_accepted() -> bool:
        answer = kvitto.post("applications", encrypt({"application_id": application_id}, KEY))
        assert answer.status_code in (200, 503), answer.text
        receipts.extend([answer.json()["receipt"]] if answer.status_code == 200 else [])
        return bool(receipts)

    eventually(is_accepted, "a 200", 60)
    return receipts[0]


def assert_everything_arrived(kvitto: Running) -> None:
    """Wait until nothing is in flight; nothing is missing then."""
    for name in names():
        eventually(lambda provider=name: not kvitto.audit(provider)["in_flight"], "nothing in flight", 60)  # type: ignore[misc]
        assert kvitto.audit(name)["missing"] == 0
