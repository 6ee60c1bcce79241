"""Killed at the worst moment: nothing lost, nothing doubled."""

import socket
import threading
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from redis import Redis

from app.sandbox.kompar import encrypt
from tests.chaos.proxy import Proxy
from tests.support import process_tree, servers
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

LOCK = "SELECT pg_advisory_{}lock(hashtextextended('kvitto/kompar', 0))"
WAITING = """
    SELECT count(*) AS n FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND starts_with(application_name, 'kvitto-ledger')
"""


def check_once(kvitto: Running, answers: list[str], events: int) -> None:
    """Check that every 200 has its receipt and every event its effect, once."""
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "the inbox empty", 120)
    account = kvitto.audit()
    assert account["missing"] == 0
    receipts = {str(row["receipt"]) for row in kvitto.rows("SELECT receipt FROM reporting.deliveries")}
    assert set(answers) <= receipts
    rows = kvitto.rows("SELECT revision FROM reporting.kompar_applications")
    assert [row["revision"] for row in rows] == [1] * events
    assert account["stored"] == events


def worker_children(kvitto: Running) -> list[int]:
    return list(process_tree.below(kvitto.workers()[0]))


@pytest.mark.parametrize("victim", ["children", "parent"])
def test_a_worker_killed_in_mid_batch(fresh_kvitto: Running, victim: str) -> None:
    kvitto = fresh_kvitto
    with psycopg.connect(kvitto.database, autocommit=True) as connection:
        connection.execute(LOCK.format(""))  # the next batch stops in its transaction, claimed and not stored
        answers = [kvitto.post("applications", encrypt({"application_id": f"{number}"}, KEY)) for number in range(200)]
        eventually(lambda: kvitto.rows(WAITING)[0]["n"] > 0, "a batch in mid-transaction")
        if victim == "children":
            process_tree.kill(*worker_children(kvitto))
        else:
            process_tree.kill(kvitto.workers()[0])
        connection.execute(LOCK.format("un"))
    check_once(kvitto, [answer.json()["receipt"] for answer in answers], 200)


def test_a_worker_killed_again_and_again_under_load(fresh_kvitto: Running) -> None:
    kvitto = fresh_kvitto
    answers: list[str] = []
    done = threading.Event()

    def send() -> None:
        with httpx.Client(
            base_url=kvitto.ingest, headers={"Authorization": "token another-token-0123"}, timeout=10
        ) as client:
            for number in range(1500):
                body = encrypt({"application_id": f"{number}"}, KEY)
                answers.append(client.post("/webhooks/kompar/applications", content=body).json()["receipt"])
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    kills = 0
    while not done.wait(0.4):
        for child in worker_children(kvitto)[:1]:
            process_tree.kill(child)
            kills += 1
    sender.join()
    assert kills >= 3
    check_once(kvitto, answers, 1500)


def proxied(proxy: Proxy, redis: str) -> dict[str, str]:
    """Return settings under which no append but the test's passes the proxy: no canary's."""
    return SECRETS | {"REDIS_URL": proxy.url, "CELERY_BROKER_URL": redis, "CANARY_SECRET": ""}


def test_the_edge_killed_between_append_and_answer(tmp_path: Path) -> None:
    with servers.valkey(tmp_path) as redis:
        proxy = Proxy(redis, b"XADD")
        with running(tmp_path / "data", proxied(proxy, redis)) as kvitto:
            body = {"application_id": "a"}
            edges = process_tree.named(kvitto.process.pid, "kvitto ingest")
            edges += [child for edge in edges for child in process_tree.below(edge)]

            def kill_edge() -> bool:
                proxy.on_reply = None
                process_tree.kill(*edges)
                return True

            proxy.on_reply = kill_edge
            with pytest.raises(httpx.HTTPError):
                kvitto.post("applications", encrypt(body, KEY))
            eventually(kvitto.is_ready, "the edge is back")
            again = kvitto.post("applications", encrypt(body, KEY))
            assert again.status_code == 200
            eventually(lambda: kvitto.audit()["receipts"] == 2, "both in the ledger")
            account = kvitto.audit()
            assert (account["stored"], account["duplicate"], account["missing"]) == (1, 1, 0)
        proxy.close()


def test_an_append_whose_reply_is_lost_goes_to_the_overflow_too_and_counts_once(tmp_path: Path) -> None:
    with servers.valkey(tmp_path) as redis:
        proxy = Proxy(redis, b"XADD")
        with running(tmp_path / "data", proxied(proxy, redis)) as kvitto:

            def cut() -> bool:
                proxy.on_reply = None
                return True

            proxy.on_reply = cut
            assert kvitto.post("applications", encrypt({"application_id": "a"}, KEY)).status_code == 200
            eventually(lambda: kvitto.audit()["copies"] == 1, "both in the ledger")
            account = kvitto.audit()
            assert (account["appended"], account["overflowed"], account["receipts"]) == (1, 1, 1)
            assert (account["stored"], account["duplicate"], account["missing"]) == (1, 0, 0)
        proxy.close()


def test_a_full_redis_drains_though_it_refuses_every_wake_up(fresh_kvitto: Running) -> None:
    kvitto = fresh_kvitto
    with Redis.from_url(kvitto.redis) as client:
        with process_tree.stopped(*kvitto.workers()):
            answers = [
                kvitto.post("applications", encrypt({"application_id": f"{number}"}, KEY)) for number in range(50)
            ]
            client.config_set("maxmemory", 1)
            client.delete("kompar", "solaris")  # the wake-ups that were sent before: none is left to start a drain
        eventually(lambda: client.xlen("inbox:kompar") == 0, "the inbox drained", 60)
        client.config_set("maxmemory", 0)
    check_once(kvitto, [answer.json()["receipt"] for answer in answers], 50)


@pytest.mark.parametrize("hung", [True, False], ids=["hung", "gone"])
def test_a_broker_that_fails_delays_no_answer(tmp_path: Path, hung: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, answers nothing
        port = silent.getsockname()[1] if hung else 1
        with running(tmp_path / "data", SECRETS | {"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0"}) as kvitto:
            started = time.monotonic()
            answer = kvitto.post("applications", encrypt({"application_id": "a"}, KEY))
            assert answer.status_code == 200
            assert time.monotonic() - started < 5
            assert kvitto.outcome(answer.json()["receipt"], 60)["outcome"] == "stored"


def test_redis_killed_under_a_backlog(fresh_kvitto: Running) -> None:
    kvitto = fresh_kvitto
    with process_tree.stopped(*kvitto.workers()):  # a backlog builds up
        answers = [kvitto.post("applications", encrypt({"application_id": f"{number}"}, KEY)) for number in range(300)]
        process_tree.kill(*process_tree.named(kvitto.process.pid, "valkey-server"))
    eventually(kvitto.is_ready, "ready again")
    check_once(kvitto, [answer.json()["receipt"] for answer in answers], 300)


def test_postgres_killed_under_load_delays_only(fresh_kvitto: Running) -> None:
    kvitto = fresh_kvitto
    answers = []
    for number in range(300):
        if number == 150:
            process_tree.kill(process_tree.named(kvitto.process.pid, "bin/postgres")[0])
        answers.append(kvitto.post("applications", encrypt({"application_id": f"{number}"}, KEY)))
    assert {answer.status_code for answer in answers} == {200}
    eventually(lambda: _is_readable(kvitto), "postgres is back", 60)
    check_once(kvitto, [answer.json()["receipt"] for answer in answers], 300)


def _is_readable(kvitto: Running) -> bool:
    try:
        return bool(kvitto.rows("SELECT 1 AS one"))
    except psycopg.OperationalError:
        return False
