"""Reconciliation of an attempt log with the ledger: accepted attempts are there, and every discrepancy is found."""

import json
import signal
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from app.audit.attempt_log import DeliveryAttempt
from tests.support.kvitto_process import Running, run
from tests.support.process_tree import named, stopped
from tests.support.providers.provider_fixtures import names, side
from tests.support.terminal import terminal

FAULTS = [
    "duplicate=8%", "reorder=5%", "wrong-token=8%", "wrong-key=8%", "fewer-fields=20%", "corrected=8%",
    "slow-client=1%", "cut=8%", "lost-timers=5%",
]  # fmt: skip
NAMES = {fault.partition("=")[0] for fault in FAULTS}

WEIGHTS = ("--weights", "applications=1")


def load(kvitto: Running, record: Path, *more: str) -> dict[str, Any]:
    """Send at a rate for a few seconds; return the summary."""
    given = ("--speed", "100000", "--timeout", "30s", "--record", str(record), "--json", *more)
    done = kvitto.run("sandbox", "send", *given)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def compare(kvitto: Running, record: Path, *more: str) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
    """Return status, sums of all rows, and discrepancies."""
    done = kvitto.run("audit", "--against", str(record), "--json", *more)
    assert done.stdout, done.stderr
    rows = json.loads(done.stdout)
    names = ("tries", "refused", "accepted", "stored", "duplicate", "dead", "in_flight", "missing", "wrong")
    return (
        done.returncode,
        {name: sum(row[name] for row in rows) for name in names},
        [found for row in rows for found in row["findings"]],
    )


@pytest.fixture(scope="module")
def recorded(kvitto: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A record of a few seconds with every fault, and its summary; no other test sends with this seed."""
    path = tmp_path_factory.mktemp("record") / "tries.jsonl"
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    return path, load(kvitto, path, "--rate", "40/s", "--duration", "4s", "--seed", "4711", *faults)


def tries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_reconcile_after_load_with_every_fault_finds_no_discrepancy(
    kvitto: Running, recorded: tuple[Path, dict[str, Any]]
) -> None:
    path, summary = recorded
    made = tries(path)
    assert (summary["events"], summary["tries"]) == (160, len(made))
    assert set(summary["faults"]) == NAMES
    assert summary["reached"] > 30
    assert {"p50", "p95", "p99", "slowest"} == set(summary["milliseconds"])
    status, sums, findings = compare(kvitto, path)
    assert (status, sums["missing"], sums["wrong"], sums["in_flight"]) == (0, 0, 0, 0), findings
    assert sums["tries"] == len(made)
    assert sums["accepted"] == summary["statuses"]["200"] == sums["stored"] + sums["duplicate"] + sums["dead"]
    assert sums["dead"] == sum(each["fault"] == "wrong-key" and each["status"] == 200 for each in made) > 0
    assert sums["duplicate"] > 0


def test_attempt_log_holds_no_secret_and_no_personal_data(recorded: tuple[Path, dict[str, Any]]) -> None:
    text = recorded[0].read_text()
    assert all(set(each) == {field.name for field in fields(DeliveryAttempt)} for each in tries(recorded[0]))
    assert not any(secret in text for name in names() for secret in side(name).secrets)


def test_attempts_with_a_wrong_token_are_answered_401(recorded: tuple[Path, dict[str, Any]]) -> None:
    statuses = {each["status"] for each in tries(recorded[0]) if each["fault"] == "wrong-token"}
    assert statuses - {0} == {401}  # 0: a busy machine answered later than the provider waits


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], list[dict[str, Any]]], str, str]] = {
    "altered": (lambda each: [each | {"receipt": str(uuid4())}], "missing", "is neither in the ledger nor in flight"),
    "doubled": (lambda each: [each, each], "wrong", "has the receipt of another attempt"),
    "another entity": (lambda each: [each | {"entity_id": "x"}], "wrong", "is in the ledger with another entity id"),
    "to be refused": (lambda each: [each | {"becomes": []}], "wrong", "was accepted, and had to be rejected"),
    "to be dead": (lambda each: [each | {"becomes": ["dead"]}], "wrong", "not dead"),
    "another 2xx": (lambda each: [each | {"status": 202}], "wrong", "was answered 202, which is neither a receipt"),
    "no receipt": (lambda each: [each | {"receipt": None}], "wrong", "was answered 200 without a receipt"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_reconcile_finds_one_changed_attempt(
    kvitto: Running, recorded: tuple[Path, dict[str, Any]], tmp_path: Path, name: str
) -> None:
    change, kind, words = CHANGES[name]
    made = tries(recorded[0])
    at = next(index for index, each in enumerate(made) if each["status"] == 200 and "stored" in each["becomes"])
    made[at : at + 1] = change(made[at])
    path = tmp_path / "changed.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in made))
    status, sums, (finding,) = compare(kvitto, path)
    assert (status, sums[kind], sums["missing"] + sums["wrong"]) == (1, 1, 1)
    assert words in finding["problem"]


def test_reconcile_counts_needless_rejections(
    kvitto: Running, recorded: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    made = tries(recorded[0])
    plain = [each | {"status": 401, "receipt": None} for each in made if each["fault"] is None][:3]
    path = tmp_path / "refused.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in made + plain))
    assert [compare(kvitto, each)[1]["refused"] for each in (recorded[0], path)] == [0, 3]


def test_reconcile_finds_an_event_that_is_stored_twice(
    kvitto: Running, recorded: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    plain = [each for each in tries(recorded[0]) if each["fault"] is None and each["topic"] == "applications"]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(json.dumps(each | {"event": "one"}) + "\n" for each in plain[:3]))
    status, sums, findings = compare(kvitto, path)
    assert (status, sums["wrong"]) == (1, 2)
    reported = f"was stored, and so was another attempt of its event, {plain[0]['receipt']}"
    assert {(found["receipt"], found["problem"]) for found in findings} == {
        (each["receipt"], reported) for each in plain[1:3]
    }


def test_reconcile_waits_for_deliveries_in_flight_and_finds_a_deleted_receipt(
    empty_kvitto: Running, tmp_path: Path
) -> None:
    path = tmp_path / "tries.jsonl"
    sent = ("sandbox", "send", "kompar", "--applications", "3", "--decisions", "0", "--record", str(path))
    with stopped(*empty_kvitto.workers()):
        assert empty_kvitto.run(*sent).returncode == 0
        status, sums, _ = compare(empty_kvitto, path, "--timeout", "0s")
        assert (status, sums["accepted"], sums["in_flight"], sums["missing"]) == (1, 6, 6, 0)
        arguments = ("--data", str(empty_kvitto.data), "audit", "--against", str(path), "--timeout", "0s")
        done = run(
            *arguments, environment={"PROVIDERS": "solaris"}
        )  # inboxes are those of the record, even if others are served
        assert "6 are still in flight: check that workers run" in done.stdout
    status, sums, findings = compare(empty_kvitto, path)
    assert (status, sums["stored"], sums["duplicate"], sums["in_flight"], findings) == (0, 4, 2, 0, [])
    receipt = tries(path)[0]["receipt"]
    with psycopg.connect(empty_kvitto.database) as owner:
        for table in ("bodies", "events", "receipts"):
            owner.execute(f"DELETE FROM kvitto.{table} WHERE receipt = %s", [receipt])
    done = empty_kvitto.run("audit", "--against", str(path))
    assert done.returncode == 1
    assert f"{receipt}" in done.stdout
    assert "is neither in the ledger nor in flight" in done.stdout
    assert "DOES NOT ADD UP" in done.stdout


@pytest.mark.parametrize(
    "line", ["no JSON", "[]", "{}", '{"at": "yesterday"}', "\x00", '"' + "[" * 100_000, '{"at": 1, "becomes": 2}']
)
def test_reconcile_names_the_line_that_is_no_attempt(
    kvitto: Running, recorded: tuple[Path, dict[str, Any]], tmp_path: Path, line: str
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(recorded[0].read_text().splitlines()[0] + "\n" + line + "\n")
    done = kvitto.run("audit", "--against", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"line 2 of {path} is no delivery attempt; name a file that" in done.stderr


def test_send_shows_progress_and_summary_on_a_terminal(kvitto: Running) -> None:
    sent = (
        "--data",
        str(kvitto.data),
        "sandbox",
        "send",
        "--rate",
        "20/s",
        "--duration",
        "1s",
        "--weights",
        "applications=1",
    )
    with terminal(*sent, environment={}) as shown:
        assert shown.end() == 0
    assert "sending" in shown.text
    assert "reached" in shown.text
    plain = kvitto.run("sandbox", "send", "--rate", "20/s", "--duration", "1s", *WEIGHTS)
    assert "sending" not in plain.stderr
    assert "statuses      200: 20" in plain.stdout


def test_send_keeps_its_rate_while_the_receiver_is_stopped(empty_kvitto: Running, tmp_path: Path) -> None:
    """An open model: events are sent on time whatever happens, and late answers count as late."""
    path = tmp_path / "tries.jsonl"
    edges = named(empty_kvitto.process.pid, "kvitto ingest")
    arguments = (
        "sandbox",
        "send",
        "--rate",
        "20/s",
        "--duration",
        "5s",
        "--weights",
        "applications=1",
        "--record",
        str(path),
    )
    with terminal("--data", str(empty_kvitto.data), *arguments, environment={}) as shown:
        shown.read(until="[3-9][0-9]%")  # a busy machine does not show each number
        with stopped(*edges):
            shown.read(until="(9[0-9]|100)%")
        assert shown.end() == 0
    begun = sorted(datetime.fromisoformat(each["at"]) for each in tries(path) if each["attempt"] == 1)
    assert len(begun) == 100
    slowest = max(each["seconds"] for each in tries(path))  # it waited while the receiver stood still
    assert max(later - earlier for earlier, later in pairwise(begun)) < timedelta(seconds=slowest)


def test_send_reports_a_rate_that_it_cannot_keep(kvitto: Running) -> None:
    """It sends one at a time, and each takes seconds."""
    one_by_one = ("--concurrency", "1", "--fault", "slow-client=100%")
    done = kvitto.run("sandbox", "send", "--rate", "2/s", "--duration", "1s", *one_by_one, *WEIGHTS)
    assert done.returncode == 0
    assert "The rate was not kept: a try began" in done.stderr


def test_send_ends_at_ctrl_c(kvitto: Running) -> None:
    arguments = ("sandbox", "send", "--rate", "20/s", "--duration", "1h")
    with terminal("--data", str(kvitto.data), *arguments, environment={}) as shown:
        shown.read(until="sending")
        shown.process.send_signal(signal.SIGINT)
        assert shown.end() == 1
    assert "Aborted!" in shown.text
    assert "Traceback" not in shown.text
