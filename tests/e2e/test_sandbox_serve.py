"""`kvitto sandbox serve`, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.audit.attempt_log import DeliveryAttempt
from app.local.certificates import Authority
from app.local.data_folder import DataFolder
from app.providers.kompar.envelope import open_body
from app.sandbox.kompar import SCHEDULE
from tests.support.fake_receiver import Request, receiver
from tests.support.kvitto_process import run
from tests.support.sandbox_process import KEY
from tests.support.served import Served, served, tries
from tests.support.servers import bare_environment, eventually

# What a receiver answers that lets no try succeed.
FAILING = 500


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for tests that subscribe to nothing."""
    with served(tmp_path_factory.mktemp("sandbox") / "data") as found:
        yield found


def test_serve_ends_by_a_signal_and_keeps_its_state(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as first:
        assert first.authority == str(data / "sandbox" / "authority.pem")
        assert first.solaris == first.kompar.replace("kompar", "solaris")
        first.register("applications", "https://127.0.0.1:1/")
        authority, password = Path(first.authority).read_text(), first.secret("KOMPAR_API_PASSWORD")
        assert first.stop() == 0
    with served(data) as second:
        assert (Path(second.authority).read_text(), second.secret("KOMPAR_API_PASSWORD")) == (authority, password)
        with second.client() as client:
            state = client.get(f"{second.kompar.removesuffix('/kompar')}/sandbox").json()
        assert [each["url"] for each in state["subscriptions"]] == ["https://127.0.0.1:1/"]
        assert second.stop(signal.SIGINT) == 0


def test_serve_ends_despite_a_waiting_retry(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as target,
        served(tmp_path / "data") as sandbox,
    ):
        sandbox.register("applications", target.url)
        sandbox.send("applications")
        eventually(lambda: len(target.requests) == 1, "a try")
        assert sandbox.stop() == 0
        assert "Traceback" not in sandbox.log.read_text()


def test_silent_connection_blocks_no_other(sandbox: Served) -> None:
    url = httpx.URL(sandbox.kompar)
    with socket.create_connection((url.host, url.port or 0)), sandbox.client() as client:
        assert client.get(f"{sandbox.kompar}/token").status_code == 401


def test_admin_route_accepts_a_chunked_body(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox, sandbox.client() as client:
        answer = client.post(f"{sandbox.kompar}/sandbox/fail", content=iter([b'{"calls":', b"3}"]))
    assert (answer.status_code, answer.json()) == (200, {"calls": 3})


def test_serve_rejects_plain_http_and_needs_its_authority(sandbox: Served) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(sandbox.kompar.replace("https", "http"))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(sandbox.kompar)


def test_deliveries_carry_the_secrets_of_the_environment(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    given = {"KOMPAR_TOKENS": "given-token-0123,older-token-0123", "KOMPAR_KEYS": f"newest={'g' * 32}"}
    with (
        receiver(tls=authority.issue("receiver").context()) as target,
        served(tmp_path / "data", environment=given) as sandbox,
    ):
        sandbox.register("decisions", target.url)
        sandbox.send("decisions")
        eventually(lambda: len(target.requests) == 1, "a try")
    assert target.requests[0].headers["Authorization"] == "token given-token-0123"


def test_deliveries_carry_the_secrets_of_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    authority = Authority(data)
    with receiver(tls=authority.issue("receiver").context()) as target, served(data) as sandbox:
        sandbox.register("decisions", target.url)
        sandbox.send("decisions")
        eventually(lambda: len(target.requests) == 1, "a try")
    kept = DataFolder(data).secret_files(("kompar",), {})
    assert target.requests[0].headers["Authorization"] == f"token {Path(kept['KOMPAR_TOKENS_FILE']).read_text()}"


def test_serve_prints_failed_attempts_only_and_its_files_are_private(
    tmp_path: Path,
) -> None:
    with served(tmp_path / "data") as sandbox:
        sandbox.register("decisions", "https://127.0.0.1:1/")
        sandbox.send("decisions")
        eventually(lambda: sandbox.log.read_text().endswith("\n"), "a try that failed")
        sandbox.stop()
        refused = "kompar decisions, attempt 1: connection refused: nothing listens there; next try in 30 s\n"
        assert (sandbox.output.read(), sandbox.log.read_text()) == ("", refused)
    made_up = [path for folder in ("sandbox", "secrets") for path in (tmp_path / "data" / folder).iterdir()]
    assert {"KOMPAR_API_PASSWORD", "KOMPAR_KEYS"} < {path.name for path in made_up}
    assert {path.stat().st_mode & 0o777 for path in made_up} == {0o600}


def test_serve_ends_when_attempts_cannot_be_recorded(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--record", "/dev/full") as sandbox:
        sandbox.register("decisions", "https://127.0.0.1:1/")
        sandbox.send("decisions")
        assert sandbox.process.wait(60) == 1
        line = sandbox.log.read_text().splitlines()[-1]
        assert line.startswith("Error: /dev/full cannot be written (No space left on device): ")
        assert line.endswith(" with --record")


def test_lose_timers_every_repeats(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as target,
        served(tmp_path / "data", "--lose-timers-every", "0.5") as sandbox,
        sandbox.client() as client,
    ):
        sandbox.register("applications", target.url)
        sandbox.send("applications", 3)

        def endings() -> object:
            return client.get(f"{sandbox.kompar.removesuffix('/kompar')}/sandbox").json()["final_statuses"]

        eventually(lambda: endings() == {"lost": 3}, "three lost timers")
    assert len(target.requests) == 3


def test_serve_keeps_the_published_schedule(tmp_path: Path) -> None:
    """At 600 times the speed, all five tries, over HTTPS and between processes.

    Measured is, by the record, from a try's end to the begin of the next. Two percent of the first wait, 50 ms, is one
    millisecond, for which any other process may hold this one up: so events are sent until one was not held up, and of
    each wait the best counts. From arrival to arrival, by the receiver's own clock, it is the time of an answer longer:
    that clock is asked for the longer waits.
    """
    authority, record = Authority(tmp_path / "data"), tmp_path / "tries.jsonl"
    given = {"KOMPAR_TOKENS": "given-token-0123", "KOMPAR_KEYS": f"given={KEY}"}
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as target,
        served(tmp_path / "data", "--speed", "600", "--record", str(record), environment=given) as sandbox,
    ):
        sandbox.register("applications", target.url)
        for count in range(1, 61):
            sandbox.send("applications")
            by_entity = grouped(tries(record, 3, count))
            if count >= 3 and all(is_kept(best(by_entity, index), index) for index in (0, 1)):
                break
        by_entity = grouped(tries(record, 5, count))
    assert all([each.attempt for each in event] == [1, 2, 3, 4, 5] for event in by_entity.values())
    assert [best(by_entity, index) for index in range(4) if not is_kept(best(by_entity, index), index)] == []
    arrived = [[each.at for each in target.requests if of(each) == entity] for entity in by_entity]
    for index in (2, 3):
        seen = min(times[index + 1] - times[index] for times in arrived)
        assert is_kept(seen, index), seen


def grouped(attempts: list[DeliveryAttempt]) -> dict[str | None, list[DeliveryAttempt]]:
    """Return tries by what they are about."""
    return {each.entity_id: [other for other in attempts if other.entity_id == each.entity_id] for each in attempts}


def best(by_entity: dict[str | None, list[DeliveryAttempt]], index: int) -> float:
    """Return the shortest wait, in seconds, between a try and the next."""
    pairs = [(event[index], event[index + 1]) for event in by_entity.values() if len(event) > index + 1]
    return min((later.at - earlier.at).total_seconds() - earlier.seconds for earlier, later in pairs)


def is_kept(seconds: float, index: int) -> bool:
    """Return whether a wait was not too short; how much longer it was depends on this machine, up to a second."""
    return 0.98 * SCHEDULE[index] / 600 <= seconds <= SCHEDULE[index] / 600 + 1


def of(request: Request) -> object:
    """Return which application a delivery is about."""
    return open_body(request.body, [("given", KEY.encode())])[0].content["application_id"]


@pytest.mark.slow
def test_serve_keeps_the_first_two_waits_at_real_speed(tmp_path: Path) -> None:
    """After 30 s and 120 s, within two percent, by the receiver's clock."""
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as target,
        served(tmp_path / "data") as sandbox,
    ):
        sandbox.register("applications", target.url)
        sandbox.send("applications")
        eventually(lambda: len(target.requests) == 3, "three tries", 170)
        first, second, third = (request.at for request in target.requests)
    assert second - first == pytest.approx(30, rel=0.02)
    assert third - second == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize(
    ("bind", "text"),
    [("here", "is not host:port"), ("127.0.0.1:99999", "is not host:port"), ("192.0.2.1:8443", "annot assign")],
)
def test_bind_to_invalid_address_is_reported(tmp_path: Path, bind: str, text: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", bind, environment={})
    assert done.returncode == 1
    assert text in done.stderr
    assert "name another, host:port" in done.stderr


@pytest.mark.parametrize("seconds", ["0", "inf", "1e12"])
def test_lose_timers_every_out_of_range_is_rejected(tmp_path: Path, seconds: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", "--lose-timers-every", seconds, environment={})
    assert (done.returncode, "is not in the range 0<x<=86400" in done.stderr) == (2, True)


def test_bind_to_taken_address_is_reported(sandbox: Served, tmp_path: Path) -> None:
    bind = sandbox.kompar.removeprefix("https://").removesuffix("/kompar")
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", bind, environment={})
    assert (done.returncode, "Address already in use" in done.stderr) == (1, True)


def test_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "sandbox").write_text("a file where a folder belongs")
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert done.returncode == 1
    assert f"{tmp_path / 'sandbox'} cannot be used (File exists): correct that, or name another" in done.stderr


@pytest.mark.parametrize("content", ["", "[1]", '[{"id": "alone"}]'])
def test_damaged_subscriptions_file_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "subscriptions.json").write_text(content)
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert (done.returncode, "subscriptions.json is damaged: remove it" in done.stderr) == (1, True)


def test_key_of_wrong_length_is_reported(tmp_path: Path) -> None:
    given = {"KOMPAR_TOKENS": "t" * 16, "KOMPAR_KEYS": "a=short"}
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment=given)
    assert (done.returncode, "32 characters" in done.stderr) == (78, True)


def test_missing_trustme_is_reported_with_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['trustme'] = None; from app.cli.__main__ import main; main()"
    command = [sys.executable, "-c", code, "--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0"]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "Error: trustme is not installed: pip install 'kvitto[embedded]'\n",
    )  # fmt: skip


def test_untrusted_certificate_is_reported(tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    with receiver(tls=stranger.issue("receiver").context()) as target, served(tmp_path / "data") as sandbox:
        sandbox.register("applications", target.url)
        sandbox.send("applications")
        eventually(lambda: sandbox.log.read_text().endswith("\n"), "a try that failed")
    text = (
        "certificate not trusted by the system nor by the sandbox's authority (unable to get local issuer certificate)"
    )
    assert sandbox.log.read_text() == f"kompar applications, attempt 1: {text}; next try in 30 s\n"


def test_second_sandbox_on_the_same_data_folder_is_refused(sandbox: Served) -> None:
    data = sandbox.data
    done = run("--data", str(data), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert (done.returncode, f"{data / 'sandbox'} is in use; stop what serves" in done.stderr) == (1, True)
    assert sandbox.kompar in (data / "sandbox" / "environment.json").read_text()


def test_serve_runs_beside_the_holder_of_the_data_folder(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    held = os.fdopen(data.open())
    with held, served(data.folder) as sandbox:
        assert sandbox.stop() == 0


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_damaged_authority_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "authority.key").write_text(content)
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"{tmp_path / 'sandbox' / 'authority.key'} is damaged: remove it" in done.stderr


@pytest.mark.parametrize("option", ["--speed", "--lose-timers-every"])
def test_option_that_is_not_a_number_is_rejected(tmp_path: Path, option: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", option, "nan", environment={})
    assert (done.returncode, "nan is not a number" in done.stderr) == (2, True)
