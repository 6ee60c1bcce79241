"""The audit, whatever becomes of Redis: what was in flight in a life that ended is missing, to the entry."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.audit.conservation import audit
from app.console.overview import audit_problems
from app.domain.delivery import StreamId
from app.inbox.stream import Inbox
from app.local.embedded_servers import valkey_answers
from app.sandbox.kompar import encrypt
from app.storage import audits, high_water_marks, reports
from app.storage.connection import Connection, connect
from app.storage.high_water_marks import SWEEP, HighWaterMark
from tests import process_tree
from tests.integration.test_inbox import delivery
from tests.kvitto_process import Running, run
from tests.process_tree import stopped
from tests.providers.kompar_fixtures import KEY
from tests.servers import eventually

N = 30


def deliver(kvitto: Running, count: int) -> list[httpx.Response]:
    """Deliver so many, each answered 200."""
    body = encrypt({"application_id": "a"}, KEY)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: kvitto.post("applications", body), range(count)))
    assert {answer.status_code for answer in answers} == {200}
    return answers


@contextmanager
def sending(kvitto: Running) -> Iterator[list[httpx.Response]]:
    """Deliver for the duration of a block; yield the answers so far."""
    sent: list[httpx.Response] = []
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            sent.extend(deliver(kvitto, 20))

    with ThreadPoolExecutor(1) as pool:
        sender = pool.submit(send)
        try:
            yield sent
        finally:
            done.set()
            sender.result()


def settled(kvitto: Running) -> None:
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "all settled", 60)


def replace_redis(kvitto: Running) -> None:
    """Have Redis come back with an empty folder, as on another machine."""
    (pid,) = process_tree.named(kvitto.process.pid, "valkey-server")
    for file in (kvitto.data / "valkey").rglob("*"):
        if file.is_file():
            file.unlink()
    process_tree.kill(pid)
    eventually(lambda: pid not in process_tree.named(kvitto.process.pid, "valkey-server"), "the old one gone")
    eventually(lambda: valkey_answers(kvitto.redis), "a new one")
    with Redis.from_url(kvitto.redis) as client:
        eventually(lambda: bool(client.exists("inbox:kompar:epoch")), "the edge has begun a new epoch")
    eventually(lambda: relied_on(kvitto), "the edge relies on it again: nothing more goes to the overflow")


def relied_on(kvitto: Running) -> bool:
    """Tell whether the edge found every outage that it told of to be over."""
    log = (kvitto.data / "logs" / "ingest.log").read_text()
    return log.count("circuit_closed") == log.count("circuit_opened")


def flush_redis(kvitto: Running) -> None:
    with Redis.from_url(kvitto.redis) as client:
        client.flushall()


def tallied(kvitto: Running, count: int) -> None:
    """Wait until the edge has reported so many entries."""
    query = """
        SELECT coalesce(sum(seen), 0)::int AS n
        FROM (SELECT max(appended) AS seen FROM kvitto.inbox_high_water_marks
              WHERE provider = 'kompar' AND source <> 'sweep' GROUP BY epoch) AS epochs
    """
    eventually(lambda: kvitto.rows(query)[0]["n"] == count, f"{count} tallied")


def losses(kvitto: Running) -> list[dict[str, Any]]:
    (account,) = [each for each in json.loads(kvitto.run("audit", "--json").stdout) if each["provider"] == "kompar"]
    found: list[dict[str, Any]] = account["losses"]
    return found


def metrics(kvitto: Running) -> str:
    password = (kvitto.data / "secrets" / "CONSOLE_PASSWORD").read_text()
    return kvitto.client.get(f"{kvitto.console}/metrics", auth=("any", password)).text


def page(kvitto: Running) -> str:
    password = (kvitto.data / "secrets" / "CONSOLE_PASSWORD").read_text()
    return kvitto.client.get(f"{kvitto.console}/", auth=("any", password)).text


def worker_log(kvitto: Running) -> list[dict[str, Any]]:
    lines = (kvitto.data / "logs" / "worker-kompar.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if "missing" in entry]


def test_audit_after_a_replaced_redis_reports_what_was_in_flight_everywhere(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    deliver(kvitto, 10)
    settled(kvitto)
    with stopped(*kvitto.workers()):
        deliver(kvitto, N)
        replace_redis(kvitto)
        tallied(kvitto, 10 + N)
        account = kvitto.audit()
    assert (account["missing"], account["appended"], account["receipts"]) == (N, 10 + N, 10)
    deliver(kvitto, 5)
    settled(kvitto)
    assert kvitto.audit()["missing"] == N
    (lost,) = losses(kvitto)
    assert (lost["appended"], lost["receipts"], lost["missing"], lost["accepted_loss"]) == (10 + N, 10, N, 0)
    told = kvitto.run("audit")
    assert told.returncode == 1
    assert lost["epoch"] in told.stdout
    assert "DOES NOT ADD UP" in told.stdout
    eventually(lambda: f'kvitto_audit_missing_entries{{provider="kompar"}} {N}.0' in metrics(kvitto), "the metric", 60)
    solaris = 'kvitto_audit_missing_entries{provider="solaris"} 0.0'
    eventually(lambda: solaris in metrics(kvitto), "Solaris' inbox audited too", 60)
    assert 'kvitto_last_audit_timestamp_seconds{provider="kompar"}' in metrics(kvitto)
    eventually(lambda: bool(worker_log(kvitto)), "the log's line")
    (line,) = worker_log(kvitto)
    assert (line["level"], line["missing"], line["epochs"]) == ("error", N, {lost["epoch"]: N})
    assert f"{N} MISSING: run kvitto audit" in page(kvitto)


def test_audit_after_a_replaced_empty_redis_finds_no_loss(empty_kvitto: Running) -> None:
    deliver(empty_kvitto, N)
    settled(empty_kvitto)
    replace_redis(empty_kvitto)
    deliver(empty_kvitto, N)
    settled(empty_kvitto)
    account = empty_kvitto.audit()
    kept = account["appended"] + account["overflowed"]
    assert (kept, account["receipts"], account["missing"]) == (2 * N, 2 * N, 0)


def test_audit_shows_an_accepted_loss_as_not_missing(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        deliver(kvitto, N)
        flush_redis(kvitto)
        tallied(kvitto, N)
        (lost,) = losses(kvitto)
        assert lost["missing"] == N
        epoch = lost["epoch"]
        assert kvitto.run("audit", "--accept-loss", epoch).returncode == 2
        refused = kvitto.run("audit", "--accept-loss", epoch, "--reason", "for 19811218-9876")
        assert "national id" in refused.stderr
        unknown = kvitto.run("audit", "--accept-loss", epoch[::-1], "--reason", "case 4711")
        assert "nothing is missing of epoch" in unknown.stderr
        as_worker = {"DATABASE_URL": kvitto.database.replace("//kvitto@", "//kvitto_worker@")}
        accepting = ("audit", "--accept-loss", epoch, "--reason", "case 4711: sent again")
        done = run(*accepting, environment=kvitto.environment | as_worker)
        assert done.returncode == 0, done.stderr
        assert epoch in done.stdout
        account = kvitto.audit()
    assert (account["missing"], account["accepted_loss"]) == (0, N)
    (row,) = kvitto.rows("SELECT * FROM kvitto.accepted_losses")
    assert (row["entries"], row["reason"], row["role"]) == (N, "case 4711: sent again", "kvitto_worker")
    assert row["operator"]
    assert "nothing is missing" in kvitto.run("audit", "--accept-loss", epoch, "--reason", "twice").stderr


def test_audit_reports_the_losses_of_two_epochs_separately(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    deliver(kvitto, 10)
    settled(kvitto)
    with stopped(*kvitto.workers()):
        deliver(kvitto, 3)
        flush_redis(kvitto)
        deliver(kvitto, 4)
        replace_redis(kvitto)
        deliver(kvitto, 5)
        tallied(kvitto, 22)
        account = kvitto.audit()
        assert (account["missing"], account["in_flight"], account["appended"]) == (7, 5, 22)
        assert [lost["missing"] for lost in losses(kvitto)] == [3, 4]
    settled(kvitto)
    assert kvitto.audit()["missing"] == 7


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_audit_counts_what_a_stopped_or_killed_edge_confirmed(empty_kvitto: Running, how: signal.Signals) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        deliver(kvitto, 6)
        if how == signal.SIGKILL:
            tallied(kvitto, 6)  # which takes a second; an edge that is told to stop reports at once
        edges = process_tree.named(kvitto.process.pid, "app.cli ingest")
        os.kill(edges[0], how)
        eventually(lambda: not any(map(process_tree.is_running, edges)), "the edge ended")
        eventually(lambda: _is_ready(kvitto), "another edge")
        deliver(kvitto, 7)
        replace_redis(kvitto)
        tallied(kvitto, 13)
        assert kvitto.audit()["missing"] == 13


def _is_ready(kvitto: Running) -> bool:
    try:
        return kvitto.client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def test_audit_of_an_append_that_timed_out_counts_the_overflow_row(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        deliver(kvitto, 4)
        with stopped(*process_tree.named(kvitto.process.pid, "valkey-server")):
            deliver(kvitto, 1)
        eventually(lambda: kvitto.entries("kompar") == 5, "the append was made all the same")
        assert kvitto.audit()["missing"] == 0
        replace_redis(kvitto)
        tallied(kvitto, 4)
        account = kvitto.audit()
        assert (account["missing"], account["overflowed"], account["in_flight"]) == (4, 1, 1)
    settled(kvitto)
    assert kvitto.audit()["missing"] == 4


def test_high_water_mark_is_reported_after_postgres_is_back(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    deliver(kvitto, 1)
    settled(kvitto)
    found = process_tree.below(kvitto.process.pid)
    with stopped(*kvitto.workers()):
        with stopped(*(pid for pid, command in found.items() if "postgres" in command)):
            deliver(kvitto, N)
            flush_redis(kvitto)
        tallied(kvitto, 1 + N)
        assert kvitto.audit()["missing"] == N


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, "kompar")


def record(connection: Connection, source: str, epoch: UUID, appended: int, last_id: StreamId) -> None:
    high_water_marks.record(connection, source, {("kompar", epoch): HighWaterMark(appended, last_id)})


def witness(connection: Connection, inbox: Inbox) -> None:
    census = inbox.info()
    record(connection, SWEEP, census.epoch, census.appended, census.last_id)


def test_audit_uses_the_mark_of_the_sweep_if_no_edge_reported(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    for _ in range(3):
        inbox.append(delivery())
    witness(connection, inbox)
    redis.flushall()
    account = audit(connection, inbox)
    assert (account.missing, account.in_flight) == (3, 0)


def test_an_older_mark_that_arrives_late_changes_nothing(inbox: Inbox, redis: Redis, connection: Connection) -> None:
    first = inbox.append(delivery())
    inbox.append(delivery())
    witness(connection, inbox)
    record(connection, SWEEP, first.epoch, 1, first.stream_id)
    redis.flushall()
    assert audit(connection, inbox).missing == 2


def test_a_mark_that_one_edge_did_not_report_is_covered_by_the_next_edge(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    """The count is the server's: an edge that was killed before it reported leaves no gap."""
    for edge, count, reports_it in ((uuid7(), 2, True), (uuid7(), 100, False), (uuid7(), 3, True)):
        appended = [inbox.append(delivery()) for _ in range(count)][-1]
        for _ in range(2 if reports_it else 0):
            record(connection, str(edge), appended.epoch, appended.count, appended.stream_id)
    assert audit(connection, inbox).missing == 0
    redis.flushall()
    assert audit(connection, inbox).missing == 105


def test_audit_finds_an_inbox_that_was_emptied_within_its_epoch(
    inbox: Inbox, redis: Redis, connection: Connection
) -> None:
    """Deleted by hand, or set back to an earlier state: the server's own counter has forgotten."""
    edge = str(uuid7())
    for _ in range(3):
        appended = inbox.append(delivery())
        record(connection, edge, appended.epoch, appended.count, appended.stream_id)
    redis.delete("inbox:kompar")
    assert audit(connection, inbox).missing == 3
    for count in (4, 5, 6, 7):
        appended = inbox.append(delivery())
        assert appended.count == count
        record(connection, edge, appended.epoch, count, appended.stream_id)
        account = audit(connection, inbox)
        assert (account.missing, account.in_flight) == (3, count - 3)


def test_alert_is_due_at_once_after_a_change_and_repeated_every_five_minutes(
    inbox: Inbox, connection: Connection
) -> None:
    row = audit(connection, inbox).row()

    def tells(missing: int) -> bool:
        return audits.record(connection, row | {"missing": missing})

    assert [tells(missing) for missing in (0, 3, 3, 4, 4, 0, 0, 4)] == [
        False, True, False, True, False, False, False, True,
    ]  # fmt: skip
    connection.execute("UPDATE audits SET alerted_at = alerted_at - interval '301 seconds'")
    assert [tells(4), tells(4)] == [True, False]


def test_console_shows_the_result_of_the_last_audit(inbox: Inbox, connection: Connection) -> None:
    row = audit(connection, inbox).row()

    def told(**found: int) -> list[str]:
        audits.record(connection, row | found)
        return list(audit_problems(reports.audits(connection)))

    assert told() == []
    assert told(accepted_loss=3) == []
    assert told(accepted_loss=3, missing=4) == ["kompar: 4 MISSING: run kvitto audit."]
    connection.execute("UPDATE audits SET missing = 0, audited_at = audited_at - interval '10 minutes'")
    (late,) = audit_problems(reports.audits(connection))
    assert late == "kompar: not audited for 10 min. Are its worker and beat running?"


@pytest.mark.parametrize("load", ["settling", "backlog"])
def test_audit_under_load_finds_nothing_missing(empty_kvitto: Running, load: str) -> None:
    kvitto = empty_kvitto
    pids = kvitto.workers() if load == "backlog" else []
    with connect(kvitto.database, "test") as connection, Redis.from_url(kvitto.redis) as client:
        inbox = Inbox(client, "kompar")
        with stopped(*pids), sending(kvitto) as sent:
            accounts = [audit(connection, inbox) for _ in range(50)]
            eventually(lambda: len(sent) > 100, "a load")
            accounts += [audit(connection, inbox) for _ in range(50)]
    assert {account.missing for account in accounts} == {0}
    assert [account for account in accounts if account.in_flight]
    assert [account for account in accounts if list(account.losses())] == []
    settled(kvitto)
    account = kvitto.audit()
    assert (account["receipts"], account["missing"]) == (len(sent), 0)
