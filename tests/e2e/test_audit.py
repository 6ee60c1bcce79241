"""The audit, whatever becomes of Redis: what was in flight in a life that ended is missing, to the entry."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from redis import Redis

from app.audit.conservation import audit
from app.inbox.stream import Inbox
from app.local.embedded_servers import valkey_answers
from app.sandbox.kompar import encrypt
from app.storage.connection import connect
from tests.support import process_tree
from tests.support.console_client import overview
from tests.support.kvitto_process import Running, run
from tests.support.process_tree import stopped
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

N = 30


def deliver(kvitto: Running, count: int) -> list[httpx.Response]:
    """Deliver so many, each answered 200."""
    body = encrypt({"application_id": "a"}, KEY)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: kvitto.post("applications", body), range(count)))
    assert {answer.status_code for answer in answers} == {200}
    return answers


def append(kvitto: Running, count: int) -> None:
    """Deliver until so many more are in Redis: on a busy machine one may go to the overflow instead."""
    goal = kvitto.entries("kompar") + count
    while (left := goal - kvitto.entries("kompar")) > 0:
        deliver(kvitto, left)


@contextmanager
def sending(kvitto: Running) -> Iterator[list[httpx.Response]]:
    """Deliver for the duration of a block; yield the answers so far."""
    sent: list[httpx.Response] = []
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.1):  # audits are to have a load, and not the machine
            sent.extend(deliver(kvitto, 20))

    with ThreadPoolExecutor(1) as pool:
        sender = pool.submit(send)
        try:
            yield sent
        finally:
            done.set()
            sender.result()


def await_processed(kvitto: Running) -> None:
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "everything processed", 60)


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
        eventually(lambda: bool(client.exists("inbox:kompar:state")), "the edge has begun a new epoch")
    eventually(lambda: relied_on(kvitto), "the edge relies on it again: nothing more goes to the overflow")


def relied_on(kvitto: Running) -> bool:
    """Return whether the edge found every outage that it reported to be over."""
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
              WHERE provider = 'kompar' GROUP BY epoch) AS epochs
    """
    eventually(lambda: kvitto.rows(query)[0]["n"] == count, f"{count} tallied")


def losses(kvitto: Running) -> list[dict[str, Any]]:
    (account,) = [each for each in json.loads(kvitto.run("audit", "--json").stdout) if each["provider"] == "kompar"]
    found: list[dict[str, Any]] = account["losses"]
    return found


def metrics(kvitto: Running) -> str:
    password = (kvitto.data / "secrets" / "CONSOLE_PASSWORD").read_text()
    return kvitto.client.get(f"{kvitto.console}/metrics", auth=("any", password)).text


def worker_log(kvitto: Running) -> list[dict[str, Any]]:
    lines = (kvitto.data / "logs" / "worker-kompar.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if "missing" in entry]


def test_audit_after_a_replaced_redis_reports_what_was_in_flight_everywhere(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    append(kvitto, 10)
    await_processed(kvitto)
    with stopped(*kvitto.workers()):
        append(kvitto, N)
        replace_redis(kvitto)
        tallied(kvitto, 10 + N)
        account = kvitto.audit()
    assert (account["missing"], account["appended"], account["receipts"]) == (N, 10 + N, 10)
    deliver(kvitto, 5)
    await_processed(kvitto)
    assert kvitto.audit()["missing"] == N
    (lost,) = losses(kvitto)
    assert (lost["appended"], lost["receipts"], lost["missing"], lost["accepted_loss"]) == (10 + N, 10, N, 0)
    reported = kvitto.run("audit")
    assert reported.returncode == 1
    assert lost["epoch"] in reported.stdout
    assert "DOES NOT ADD UP" in reported.stdout
    eventually(lambda: f'kvitto_audit_missing_entries{{provider="kompar"}} {N}.0' in metrics(kvitto), "the metric", 60)
    solaris = 'kvitto_audit_missing_entries{provider="solaris"} 0.0'
    eventually(lambda: solaris in metrics(kvitto), "Solaris' inbox audited too", 60)
    assert 'kvitto_last_audit_timestamp_seconds{provider="kompar"}' in metrics(kvitto)
    eventually(lambda: bool(worker_log(kvitto)), "the log's line")
    (line,) = worker_log(kvitto)
    assert (line["level"], line["missing"], line["epochs"]) == ("error", N, {lost["epoch"]: N})
    assert f"{N} MISSING. Run: kvitto audit" in overview(kvitto)


def test_audit_after_a_replaced_empty_redis_finds_no_loss(empty_kvitto: Running) -> None:
    deliver(empty_kvitto, N)
    await_processed(empty_kvitto)
    replace_redis(empty_kvitto)
    deliver(empty_kvitto, N)
    await_processed(empty_kvitto)
    account = empty_kvitto.audit()
    kept = account["appended"] + account["overflowed"]
    assert (kept, account["receipts"], account["missing"]) == (2 * N, 2 * N, 0)


def test_audit_shows_an_accepted_loss_as_not_missing(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        append(kvitto, N)
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
    (row,) = kvitto.rows("SELECT * FROM reporting.access_log WHERE action = 'loss-accepted'")
    assert (row["reason"], row["role"]) == ("case 4711: sent again", "kvitto_worker")
    assert row["subject"] == f"epoch {epoch}, {N} entries"
    assert row["operator"]
    assert "nothing is missing" in kvitto.run("audit", "--accept-loss", epoch, "--reason", "twice").stderr


def test_audit_reports_the_losses_of_two_epochs_separately(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    append(kvitto, 10)
    await_processed(kvitto)
    with stopped(*kvitto.workers()):
        append(kvitto, 3)
        flush_redis(kvitto)
        append(kvitto, 4)
        replace_redis(kvitto)
        append(kvitto, 5)
        tallied(kvitto, 22)
        account = kvitto.audit()
        in_redis = account["in_flight"] - account["overflowed"]
        assert (account["missing"], in_redis, account["appended"]) == (7, 5, 22)
        assert [lost["missing"] for lost in losses(kvitto)] == [3, 4]
    await_processed(kvitto)
    assert kvitto.audit()["missing"] == 7


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_audit_counts_what_a_stopped_or_killed_edge_confirmed(empty_kvitto: Running, how: signal.Signals) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        append(kvitto, 6)
        if how == signal.SIGKILL:
            tallied(kvitto, 6)  # which takes a second; an edge that is asked to stop reports at once
        edges = process_tree.named(kvitto.process.pid, "kvitto ingest")
        os.kill(edges[0], how)
        eventually(lambda: not any(map(process_tree.is_running, edges)), "the edge ended")
        eventually(kvitto.is_ready, "another edge")
        append(kvitto, 7)
        replace_redis(kvitto)
        tallied(kvitto, 13)
        assert kvitto.audit()["missing"] == 13


def test_audit_of_an_append_that_timed_out_counts_the_overflow_row(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    with stopped(*kvitto.workers()):
        append(kvitto, 4)
        overflowed = 0
        while kvitto.entries("kompar") == 4:  # no append is tried if a canary found out first that Redis is away
            eventually(lambda: relied_on(kvitto), "the edge relies on Redis")
            with stopped(*process_tree.named(kvitto.process.pid, "valkey-server")):
                deliver(kvitto, 1)
            overflowed += 1
            eventually(lambda: relied_on(kvitto), "the edge relies on Redis again")
        assert kvitto.audit()["missing"] == 0
        replace_redis(kvitto)
        tallied(kvitto, 4)
        account = kvitto.audit()
        assert (account["missing"], account["overflowed"], account["in_flight"]) == (4, overflowed, overflowed)
    await_processed(kvitto)
    assert kvitto.audit()["missing"] == 4


def test_high_water_mark_is_reported_after_postgres_is_back(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    append(kvitto, 1)
    await_processed(kvitto)
    found = process_tree.below(kvitto.process.pid)
    with stopped(*kvitto.workers()):
        with stopped(*(pid for pid, command in found.items() if "postgres" in command)):
            append(kvitto, N)
            flush_redis(kvitto)
        tallied(kvitto, 1 + N)
        assert kvitto.audit()["missing"] == N


@pytest.mark.parametrize("load", ["draining", "backlog"])
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
    await_processed(kvitto)
    account = kvitto.audit()
    assert (account["receipts"], account["missing"]) == (len(sent), 0)
