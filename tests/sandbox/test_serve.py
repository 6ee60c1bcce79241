"""`kvitto sandbox serve`, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.audit.attempt_log import DeliveryAttempt
from app.local.certificates import Authority
from app.local.data_folder import DataFolder
from app.providers.kompar.envelope import open_body
from app.sandbox.kompar import SCHEDULE
from tests.fake_receiver import Request, receiver
from tests.kvitto_process import run
from tests.sandbox.sandbox_process import KEY
from tests.sandbox.served import served, tries
from tests.servers import bare_environment, eventually

# What a receiver answers that lets no try succeed.
FAILING = 500


def test_it_serves_until_a_signal_and_keeps_what_others_hold_of_it(tmp_path: Path) -> None:
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
            found = client.get(f"{second.kompar.removesuffix('/kompar')}/sandbox").json()
        assert [each["url"] for each in found["subscriptions"]] == ["https://127.0.0.1:1/"]
        assert second.stop(signal.SIGINT) == 0


def test_a_try_that_waits_does_not_hold_up_the_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as found,
        served(tmp_path / "data") as sandbox,
    ):
        sandbox.register("applications", found.url)
        sandbox.send("applications")
        eventually(lambda: len(found.requests) == 1, "a try")
        assert sandbox.stop() == 0
        assert "Traceback" not in sandbox.log.read_text()


def test_who_connects_and_is_silent_holds_up_nobody(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox:
        url = httpx.URL(sandbox.kompar)
        with socket.create_connection((url.host, url.port or 0)), sandbox.client() as client:
            assert client.get(f"{sandbox.kompar}/token").status_code == 401


def test_a_control_is_taken_in_chunks_too(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox, sandbox.client() as client:
        answer = client.post(f"{sandbox.kompar}/sandbox/fail", content=iter([b'{"calls":', b"3}"]))
    assert (answer.status_code, answer.json()) == (200, {"calls": 3})


def test_it_cannot_be_spoken_to_in_clear_nor_without_its_authority(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox:
        with pytest.raises(httpx.TransportError):
            httpx.get(sandbox.kompar.replace("https", "http"))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(sandbox.kompar)


def test_deliveries_carry_what_the_receiver_was_given(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    given = {"KOMPAR_TOKENS": "given-token,older", "KOMPAR_KEYS": f"newest={'g' * 32}"}
    with (
        receiver(tls=authority.issue("receiver").context()) as found,
        served(tmp_path / "data", environment=given) as sandbox,
    ):
        sandbox.register("decisions", found.url)
        sandbox.send("decisions")
        eventually(lambda: len(found.requests) == 1, "a try")
    assert found.requests[0].headers["Authorization"] == "token given-token"


def test_deliveries_carry_what_a_receiver_of_the_same_data_folder_will_be_given(tmp_path: Path) -> None:
    data = tmp_path / "data"
    authority = Authority(data)
    with receiver(tls=authority.issue("receiver").context()) as found, served(data) as sandbox:
        sandbox.register("decisions", found.url)
        sandbox.send("decisions")
        eventually(lambda: len(found.requests) == 1, "a try")
    kept = DataFolder(data).secret_files(("kompar",), {})
    assert found.requests[0].headers["Authorization"] == f"token {Path(kept['KOMPAR_TOKENS_FILE']).read_text()}"


def test_nothing_but_the_first_line_and_failed_tries_is_printed_and_secrets_are_its_owner_s_alone(
    tmp_path: Path,
) -> None:
    with served(tmp_path / "data") as sandbox:
        sandbox.register("decisions", "https://127.0.0.1:1/")
        sandbox.send("decisions")
        eventually(lambda: sandbox.log.read_text().endswith("\n"), "a try that failed")
        sandbox.stop()
        assert sandbox.process.stdout is not None
        refused = "kompar decisions, attempt 1: connection refused: nothing listens there; next try in 30 s\n"
        assert (sandbox.process.stdout.read(), sandbox.log.read_text()) == ("", refused)
    made_up = [path for folder in ("sandbox", "secrets") for path in (tmp_path / "data" / folder).iterdir()]
    assert {"KOMPAR_API_PASSWORD", "KOMPAR_KEYS"} < {path.name for path in made_up}
    assert {path.stat().st_mode & 0o777 for path in made_up} == {0o600}


def test_it_ends_when_tries_cannot_be_recorded(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--record", "/dev/full") as sandbox:
        sandbox.register("decisions", "https://127.0.0.1:1/")
        sandbox.send("decisions")
        assert sandbox.process.wait(30) == 1
        line = sandbox.log.read_text().splitlines()[-1]
        assert line.startswith("Error: /dev/full cannot be written (No space left on device): ")
        assert line.endswith(" with --record")


def test_timers_are_lost_as_often_as_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as found,
        served(tmp_path / "data", "--lose-timers-every", "0.5") as sandbox,
        sandbox.client() as client,
    ):
        sandbox.register("applications", found.url)
        sandbox.send("applications", 3)

        def endings() -> object:
            return client.get(f"{sandbox.kompar.removesuffix('/kompar')}/sandbox").json()["final_statuses"]

        eventually(lambda: endings() == {"lost": 3}, "three lost timers")
    assert len(found.requests) == 3


def test_the_published_schedule_is_kept_to_two_percent(tmp_path: Path) -> None:
    """At 600 times the speed, all five tries, over HTTPS and between processes.

    Measured is, by the record, from a try's end to the begin of the next. Two percent of the first wait, 50 ms, is one
    millisecond, for which any other process may hold this one up: so events are sent until one was not held up, and of
    each wait the best counts. From arrival to arrival, by the receiver's own clock, it is the time of an answer longer:
    that clock is asked for the longer waits.
    """
    authority, record = Authority(tmp_path / "data"), tmp_path / "tries.jsonl"
    given = {"KOMPAR_TOKENS": "given-token", "KOMPAR_KEYS": f"given={KEY}"}
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as found,
        served(tmp_path / "data", "--speed", "600", "--record", str(record), environment=given) as sandbox,
    ):
        sandbox.register("applications", found.url)
        for count in range(1, 61):
            sandbox.send("applications")
            made = grouped(tries(record, 3, count))
            if count >= 3 and all(is_kept(best(made, index), index) for index in (0, 1)):
                break
        made = grouped(tries(record, 5, count))
    assert all([each.attempt for each in event] == [1, 2, 3, 4, 5] for event in made.values())
    assert [best(made, index) for index in range(4) if not is_kept(best(made, index), index)] == []
    arrived = [[each.at for each in found.requests if of(each) == entity] for entity in made]
    for index in (2, 3):
        seen = min(times[index + 1] - times[index] for times in arrived)
        assert is_kept(seen, index), seen


def grouped(made: list[DeliveryAttempt]) -> dict[str | None, list[DeliveryAttempt]]:
    """Return tries by what they are about."""
    return {each.entity_id: [other for other in made if other.entity_id == each.entity_id] for each in made}


def best(made: dict[str | None, list[DeliveryAttempt]], index: int) -> float:
    """Return the shortest wait, in seconds, between a try and the next."""
    pairs = [(event[index], event[index + 1]) for event in made.values() if len(event) > index + 1]
    return min((later.at - earlier.at).total_seconds() - earlier.seconds for earlier, later in pairs)


def is_kept(seconds: float, index: int) -> bool:
    return seconds == pytest.approx(SCHEDULE[index] / 600, rel=0.02)


def of(request: Request) -> object:
    """Return which application a delivery is about."""
    return open_body(request.body, [("given", KEY.encode())])[0]["application_id"]


@pytest.mark.slow
def test_the_first_two_retries_come_on_schedule_at_real_speed(tmp_path: Path) -> None:
    """After 30 s and 120 s, within two percent, by the receiver's clock."""
    authority = Authority(tmp_path / "data")
    with (
        receiver(lambda _: FAILING, authority.issue("receiver").context()) as found,
        served(tmp_path / "data") as sandbox,
    ):
        sandbox.register("applications", found.url)
        sandbox.send("applications")
        eventually(lambda: len(found.requests) == 3, "three tries", 170)
        first, second, third = (request.at for request in found.requests)
    assert second - first == pytest.approx(30, rel=0.02)
    assert third - second == pytest.approx(120, rel=0.02)


@pytest.mark.parametrize(
    ("bind", "told"),
    [("here", "is not host:port"), ("127.0.0.1:99999", "is not host:port"), ("192.0.2.1:8443", "annot assign")],
)
def test_an_address_that_cannot_be_served_on(tmp_path: Path, bind: str, told: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", bind, environment={})
    assert done.returncode == 1
    assert told in done.stderr
    assert "name another, host:port" in done.stderr


@pytest.mark.parametrize("seconds", ["0", "inf", "1e12"])
def test_timers_cannot_be_lost_all_the_time_nor_never(tmp_path: Path, seconds: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", "--lose-timers-every", seconds, environment={})
    assert (done.returncode, "is not in the range 0<x<=86400" in done.stderr) == (2, True)


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with served(tmp_path / "data") as sandbox:
        bind = sandbox.kompar.removeprefix("https://").removesuffix("/kompar")
        done = run("--data", str(tmp_path / "other"), "sandbox", "serve", "--bind", bind, environment={})
    assert (done.returncode, "Address already in use" in done.stderr) == (1, True)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "sandbox").write_text("a file where a folder belongs")
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert done.returncode == 1
    assert f"{tmp_path / 'sandbox'} cannot be used (File exists): correct that, or name another" in done.stderr


@pytest.mark.parametrize("content", ["", "[1]", '[{"id": "alone"}]'])
def test_a_damaged_list_of_subscriptions(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "subscriptions.json").write_text(content)
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert (done.returncode, "subscriptions.json is damaged: remove it" in done.stderr) == (1, True)


def test_a_key_of_the_wrong_length(tmp_path: Path) -> None:
    given = {"KOMPAR_TOKENS": "t", "KOMPAR_KEYS": "a=short"}
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment=given)
    assert (done.returncode, "32 characters" in done.stderr) == (78, True)


def test_without_what_makes_certificates_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['trustme'] = None; from app.cli.__main__ import main; main()"
    command = [sys.executable, "-c", code, "--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0"]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1, "Error: trustme is not installed: pip install 'kvitto[embedded]'\n",
    )  # fmt: skip


def test_a_certificate_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    with receiver(tls=stranger.issue("receiver").context()) as found, served(tmp_path / "data") as sandbox:
        sandbox.register("applications", found.url)
        sandbox.send("applications")
        eventually(lambda: sandbox.log.read_text().endswith("\n"), "a try that failed")
    told = (
        "certificate not trusted by the system nor by the sandbox's authority (unable to get local issuer certificate)"
    )
    assert sandbox.log.read_text() == f"kompar applications, attempt 1: {told}; next try in 30 s\n"


def test_a_second_one_on_the_same_data_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as sandbox:
        done = run("--data", str(data), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
        assert (done.returncode, f"{data / 'sandbox'} is in use; stop what serves" in done.stderr) == (1, True)
        assert sandbox.kompar in (data / "sandbox" / "environment.json").read_text()


def test_it_serves_beside_what_holds_the_data_folder(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    held = os.fdopen(data.open())
    with held, served(data.folder) as sandbox:
        assert sandbox.stop() == 0


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_authority(tmp_path: Path, content: str) -> None:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "authority.key").write_text(content)
    done = run("--data", str(tmp_path), "sandbox", "serve", "--bind", "127.0.0.1:0", environment={})
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"{tmp_path / 'sandbox' / 'authority.key'} is damaged: remove it" in done.stderr


@pytest.mark.parametrize("option", ["--speed", "--lose-timers-every"])
def test_what_is_no_number_is_refused(tmp_path: Path, option: str) -> None:
    done = run("--data", str(tmp_path), "sandbox", "serve", option, "nan", environment={})
    assert (done.returncode, "nan is not a number" in done.stderr) == (2, True)
