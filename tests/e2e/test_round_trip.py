"""Over HTTPS, from the first call of a provider's API to the last event: nothing is lost, nothing counts twice."""

import itertools
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.audit.attempt_log import DeliveryAttempt, read
from app.sandbox import kompar, solaris
from app.sandbox.serve import LOGINS
from tests.e2e.test_readme import SUBSCRIBING, shell
from tests.support import process_tree
from tests.support.kvitto_process import Running, run, start
from tests.support.ports import free_port
from tests.support.served import Served, served
from tests.support.servers import eventually

SPEED = 30.0
EVENT_TYPE = "INCOMING_REJECTED_TRANSACTION"


@dataclass(frozen=True, slots=True)
class Provider:
    """One of the sandbox's, by its name: what is subscribed to, what a request for it calls that, how tries follow."""

    name: str
    topic: str
    called: str
    schedule: Sequence[float]


PROVIDERS = (
    Provider("kompar", "applications", "topic", kompar.SCHEDULE),
    Provider("solaris", EVENT_TYPE, "event_type", solaris.SCHEDULE),
)


class Lender:
    """A Kvitto that serves HTTPS on one address and one data folder, through stops and kills."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._environment = {"INGEST_BIND": f"127.0.0.1:{free_port()}"}
        self.kvitto = self._start()

    def _start(self) -> Running:
        return start(self.data, self._environment, "--https")

    def end(self) -> None:
        self.kvitto.client.close()
        if self.kvitto.process.poll() is None:
            assert self.kvitto.stop() == 0
        self.kvitto.output.close()

    def restart(self) -> None:
        """Stop it as an operator does, and start it again."""
        self.end()
        self.kvitto = self._start()

    def kill(self) -> None:
        """Kill all of it; return once nothing runs."""
        started = process_tree.below(self.kvitto.process.pid)
        self.kvitto.process.send_signal(signal.SIGKILL)
        self.kvitto.process.wait()
        eventually(lambda: not [pid for pid in started if process_tree.is_running(pid)], "all of it ended")

    def subscriptions(self, sandbox: Served, *arguments: str, status: int = 0) -> str:
        """Run a command against the sandbox's APIs, Kompar's with its real schedule."""
        logins = {f"{name}_FILE": str(self.data / "sandbox" / name) for name in LOGINS}
        apis = {
            "KOMPAR_API_URL": sandbox.kompar,
            "SOLARIS_API_URL": sandbox.solaris,
            "SOLARIS_AUTH_URL": sandbox.solaris,
        }
        done = run("--data", str(self.data), "subscriptions", *arguments, environment=logins | apis)
        assert done.returncode == status, done.stderr
        return done.stdout

    def stored(self, event: str, sandbox: Served) -> list[str]:
        """Return the outcomes of an event's deliveries in the ledger."""
        receipts = [each.receipt for each in tries(sandbox, event) if each.receipt]
        rows = [self.kvitto.rows("SELECT * FROM reporting.deliveries WHERE receipt = %s", each) for each in receipts]
        return [row["outcome"] for found in rows for row in found]


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    """On a data folder of the name that `kvitto up` gives it."""
    found = Lender(tmp_path_factory.mktemp("lending") / ".kvitto")
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def sandbox(lender: Lender) -> Iterator[Served]:
    """The providers' APIs beside it; each test removes what it subscribes to."""
    with served(lender.data, "--record", str(record(lender.data)), "--speed", str(SPEED)) as found:
        yield found


def ask(sandbox: Served, provider: Provider) -> httpx.Response:
    """Have the sandbox send an event of a provider's."""
    base = {"kompar": sandbox.kompar, "solaris": sandbox.solaris}[provider.name]
    with sandbox.client() as client:
        return client.post(f"{base}/sandbox/send", json={provider.called: provider.topic})


def send(sandbox: Served, provider: Provider) -> str:
    """Have an event sent; return its id."""
    (event,) = ask(sandbox, provider).raise_for_status().json()["events"]
    return str(event)


def look(sandbox: Served) -> dict[str, Any]:
    """Return what the sandbox knows of itself."""
    with sandbox.client() as client:
        return dict(client.get(httpx.URL(sandbox.kompar).copy_with(path="/sandbox")).json())


def record(data: Path) -> Path:
    return data.with_suffix(".jsonl")


def tries(sandbox: Served, event: str) -> list[DeliveryAttempt]:
    """Return the tries of an event so far, by the record of a sandbox that is not amid a line of it."""
    path = record(sandbox.data)
    text = path.read_text() if path.exists() else ""
    return [each for each in read(path) if each.event == event] if text.endswith("\n") else []


def test_edge_over_https_is_healthy_and_accepts_canaries_and_deliveries(lender: Lender) -> None:
    kvitto = lender.kvitto
    assert kvitto.ingest.startswith("https://")
    eventually(lambda: len(kvitto.rows("SELECT * FROM reporting.canaries")) == 2, "the first canaries")
    assert kvitto.client.get(f"{kvitto.console}/readyz").status_code == 200
    for process in ("ingest", "beat", "worker"):
        done = kvitto.run("health", process)
        assert done.returncode == 0, done.stdout
    for provider in ("kompar", "solaris"):
        done = kvitto.run("sandbox", "send", provider)
        assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("sandbox")
def test_settings_that_switch_the_sandbox_off_are_reported(lender: Lender) -> None:
    data = ("--data", str(lender.data))
    for given in ({}, {"PUBLIC_URL": "https://lender.example"}):
        done = run(*data, "check", "subscriptions", environment=given)
        assert (done.returncode, "complete for subscriptions" in done.stdout) == (0, True), done.stdout
    given = {"KOMPAR_API_USERNAME": "a-lender", "KOMPAR_API_PASSWORD": "a-password"}
    done = run(*data, "subscriptions", "register", "kompar", "applications", environment=given)
    reported = "calling https://api.kompar.se: KOMPAR_API_PASSWORD, KOMPAR_API_USERNAME in the environment disable"
    assert f"{reported} the sandbox" in done.stderr
    assert (done.returncode, "an address of this machine alone" in done.stderr) == (2, True)
    done = run(*data, "subscriptions", "list", environment={"SOLARIS_CLIENT_ID": "a-client"})
    assert "SOLARIS_CLIENT_ID in the environment disables the sandbox" in done.stderr
    assert run(*data, "check", "subscriptions", environment={"SOLARIS_CLIENT_ID": "a"}).returncode == 78
    done = run(*data, "subscriptions", "list", environment={})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("sandbox")
def test_the_tutorials_commands_for_subscriptions_succeed(lender: Lender) -> None:
    serve, play, *asked = SUBSCRIBING
    assert (serve, play, len(asked)) == ("kvitto up --https", "kvitto sandbox serve", 5)
    done = shell(lender.kvitto, "\n".join(["set -e", *asked, f"kvitto subscriptions remove solaris {EVENT_TYPE}"]))
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_a_subscription_is_verified_with_no_setting_but_the_data_folder(lender: Lender, sandbox: Served) -> None:
    """What `kvitto up --https` and `kvitto sandbox serve` say of themselves there is all that is needed."""

    def subscriptions(*arguments: str, status: int = 0) -> str:
        done = lender.kvitto.run("subscriptions", *arguments)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    subscriptions("register", "kompar", "applications")
    found = json.loads(subscriptions("verify", "kompar", "applications", "--json"))
    assert [(row["topic"], row["outcome"]) for row in found] == [("applications", "stored")]
    secrets = lender.data / "secrets" / "SOLARIS_SECRETS"
    before = secrets.read_text()
    subscriptions("register", "solaris", EVENT_TYPE)
    with_it = secrets.read_text()
    secrets.write_text(before)
    lender.restart()  # ingest may have read the other file
    assert "is it rejected (401" in subscriptions("verify", "solaris", EVENT_TYPE, "--timeout", "2s", status=1)
    secrets.write_text(with_it)
    lender.restart()
    assert " stored " in subscriptions("verify", "solaris", EVENT_TYPE)
    assert "registered" in subscriptions("list")
    assert look(sandbox)["final_statuses"]["delivered"] >= 2
    assert_no_secret_is_logged(lender)
    for provider in PROVIDERS:
        subscriptions("remove", provider.name, provider.topic)
    eventually(lambda: look(sandbox)["pending"] == 0, "no try left")


def test_the_round_trip(lender: Lender, sandbox: Served) -> None:
    for provider in PROVIDERS:
        lender.subscriptions(sandbox, "register", provider.name, provider.topic)
    lender.restart()  # it learns Solaris' secret
    first = [kept(lender, provider) for provider in PROVIDERS]
    for provider in PROVIDERS:
        arrives(sandbox, lender, send(sandbox, provider), count=1)

    lender.kill()
    lost = [(provider, send(sandbox, provider)) for provider in PROVIDERS]
    for _, event in lost:
        eventually(partial(failed_twice, sandbox, event), "two tries that failed")
    lender.restart()
    for provider, event in lost:
        arrives(sandbox, lender, event)
        assert_on_schedule(sandbox, provider, event)
        assert lender.kvitto.audit(provider.name)["missing"] == 0

    for provider in PROVIDERS:
        lender.subscriptions(sandbox, "remove", provider.name, provider.topic)
    last = [kept(lender, provider) for provider in PROVIDERS]
    assert last == [count + 2 for count in first]
    assert [ask(sandbox, provider).status_code for provider in PROVIDERS] == [404, 404]
    assert (look(sandbox)["subscriptions"], look(sandbox)["pending"]) == ([], 0)
    assert [kept(lender, provider) for provider in PROVIDERS] == last
    listed = json.loads(lender.subscriptions(sandbox, "list", "--all", "--json"))
    assert {(row["provider"], row["state"]) for row in listed} == {("kompar", "deleted"), ("solaris", "deleted")}


def kept(lender: Lender, provider: Provider) -> int:
    """Count what was ever kept of a provider's, in its inbox or in the overflow."""
    account = lender.kvitto.audit(provider.name)
    return account["appended"] + account["overflowed"] - account["copies"]


def failed_twice(sandbox: Served, event: str) -> bool:
    return len(tries(sandbox, event)) > 1


def arrives(sandbox: Served, lender: Lender, event: str, count: int | None = None) -> None:
    """Wait until an event was answered 200, and see it stored once."""
    eventually(lambda: any(each.status == 200 for each in tries(sandbox, event)), "a try that arrives", 300)
    eventually(lambda: lender.stored(event, sandbox) == ["stored"], "its row")
    made = tries(sandbox, event)
    assert [each.status for each in made] == [0] * (len(made) - 1) + [200]
    assert count in (None, len(made))


def assert_on_schedule(sandbox: Served, provider: Provider, event: str) -> None:
    """Each try comes as long after the end of the one before it as the provider says, or later on a busy machine."""
    made = tries(sandbox, event)
    assert len(made) > 2
    gaps = [(after.at - before.at).total_seconds() - before.seconds for before, after in itertools.pairwise(made)]
    waits = [seconds / SPEED for seconds in provider.schedule[: len(gaps) + 1]]
    for gap, (wait, following) in zip(gaps, itertools.pairwise(waits), strict=False):
        assert wait * 0.98 - 0.1 <= gap < following  # the record's clock is not the timer's


def assert_no_secret_is_logged(lender: Lender) -> None:
    """Neither in a log nor in the ledger."""
    folders = (lender.data / "secrets", lender.data / "sandbox")
    files = [path for folder in folders for path in folder.iterdir() if path.name.isupper()]
    values = {part.rpartition("=")[2] for path in files for part in path.read_text().strip().split(",")}
    secrets = {value for value in values if len(value) > 10}
    assert len(secrets) >= 10
    logs = "".join(path.read_text(errors="replace") for path in lender.data.glob("logs/*"))
    rows = str(lender.kvitto.rows("SELECT * FROM kvitto.subscriptions"))
    assert [secret for secret in secrets if secret in logs + rows] == []
