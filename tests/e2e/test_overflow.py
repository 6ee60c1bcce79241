"""When Redis cannot take a delivery, Postgres does; when neither can, the provider learns it at once."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
import pytest
from redis import Redis
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery
from app.local.embedded_servers import prepare_valkey, valkey_answers
from app.sandbox.kompar import encrypt
from app.storage import overflow
from app.storage.connection import Connection
from tests.support import process_tree, servers
from tests.support.console_client import overview
from tests.support.kvitto_process import SECRETS, Running, running
from tests.support.ports import free_port
from tests.support.process_tree import stopped
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually


def deliver(kvitto: Running, numbers: range, at_once: int = 16) -> list[httpx.Response]:
    """Return the answers, each of which came while the fault lasts that the caller has made."""

    def one(number: int) -> httpx.Response:
        return kvitto.post("applications", encrypt({"application_id": f"id-{number}"}, KEY))

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, numbers))


def check(kvitto: Running, answers: list[httpx.Response]) -> None:
    """Check that all were answered 200, and that each is in the ledger once, accounted for."""
    assert {answer.status_code for answer in answers} == {200}
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "everything processed", 90)
    account = kvitto.audit()
    assert account["missing"] == 0
    assert (account["stored"], account["duplicate"], account["dead"]) == (len(answers), 0, 0)
    receipts = {answer.json()["receipt"] for answer in answers}
    assert receipts == {str(row["receipt"]) for row in kvitto.rows("SELECT receipt FROM reporting.deliveries")}


@pytest.fixture
def with_own_redis(tmp_path: Path) -> Iterator[tuple[Running, list[subprocess.Popen[bytes]]]]:
    """Kvitto on a Redis that nobody starts again."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    command = prepare_valkey(tmp_path / "valkey", port, servers.REDIS_CONF)
    with servers.serving(command, tmp_path / "valkey.log") as process:
        eventually(lambda: valkey_answers(url), "valkey ready")
        with running(tmp_path / "data", SECRETS | {"REDIS_URL": url}) as kvitto:
            yield kvitto, [process]


def test_a_redis_that_is_gone_for_good_delays_nothing_for_good(
    with_own_redis: tuple[Running, list[subprocess.Popen[bytes]]],
) -> None:
    kvitto, (redis,) = with_own_redis
    redis.kill()
    redis.wait()
    answers = deliver(kvitto, range(100))
    assert {answer.status_code for answer in answers} == {200}
    eventually(
        lambda: len(kvitto.rows("SELECT 1 FROM reporting.deliveries WHERE outcome = 'stored'")) == 100,
        "all stored without Redis",
        60,
    )
    assert kvitto.client.get("/readyz").status_code == 200


@pytest.mark.slow
def test_overflow_of_more_than_a_minute_is_reported_everywhere(
    with_own_redis: tuple[Running, list[subprocess.Popen[bytes]]],
) -> None:
    kvitto, (redis,) = with_own_redis
    redis.kill()
    eventually(lambda: bool(kvitto.client.get("/readyz").json()["problems"]), "a detail of /readyz", 120)
    assert "redis-unreachable" in kvitto.client.get("/readyz").json()["problems"][0]
    done = kvitto.run("health", "ingest")
    assert (done.returncode, "redis-unreachable" in done.stdout) == (0, True)
    problem = "kompar: ingest has stored deliveries in Postgres"
    eventually(lambda: problem in overview(kvitto), "a problem of the console", 120)


def test_postgres_as_the_durable_store_needs_a_redis_only_to_wake(tmp_path: Path) -> None:
    """The Redis keeps nothing on disk, and loses all that it has in the middle."""
    settings = SECRETS | {"DURABLE_STORE": "postgres"}
    with (
        servers.valkey(tmp_path, "--appendonly", "no") as url,
        running(tmp_path / "data", settings | {"REDIS_URL": url}) as kvitto,
        Redis.from_url(url) as redis,
    ):
        answers = deliver(kvitto, range(20))
        redis.flushall()
        check(kvitto, answers + deliver(kvitto, range(20, 40)))
        assert kvitto.audit()["appended"] == 0
        assert kvitto.client.get("/readyz").json()["ready"] is True


@pytest.mark.parametrize("how", ["hung", "killed", "paused", "full", "not durable"])
def test_what_redis_cannot_take_goes_to_the_overflow(empty_kvitto: Running, how: str) -> None:
    kvitto = empty_kvitto
    before = deliver(kvitto, range(20))
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "the worker has begun")
    with Redis.from_url(kvitto.redis) as client, broken(kvitto, client, how):
        during = deliver(kvitto, range(20, 120))
    eventually(lambda: kvitto.client.get("/readyz").status_code == 200, "ready")
    after = deliver(kvitto, range(120, 140))
    check(kvitto, before + during + after)
    assert kvitto.audit()["overflowed"] > 0 or how == "killed"  # a server that is back at once misses little


@contextmanager
def broken(kvitto: Running, client: Redis, how: str) -> Iterator[None]:
    pid = process_tree.named(kvitto.process.pid, "valkey-server")[0]
    match how:
        case "hung":
            with stopped(pid):
                yield
        case "killed":
            process_tree.kill(pid)
            yield
        case "paused":
            client.client_pause(4000, all=False)
            yield
        case "full":
            client.config_set("maxmemory", 1)
            yield
            client.config_set("maxmemory", 0)
        case _:
            client.config_set("appendfsync", "everysec")
            eventually(lambda: _is_refused(kvitto), "the change noticed")
            yield
            client.config_set("appendfsync", "always")


def _is_refused(kvitto: Running) -> bool:
    log = (kvitto.data / "logs" / "ingest.log").read_text()
    return "redis-not-durable" in log


def test_a_broken_redis_costs_a_slow_request_or_two_and_not_every_one(empty_kvitto: Running) -> None:
    first = deliver(empty_kvitto, range(1))
    with stopped(process_tree.named(empty_kvitto.process.pid, "valkey-server")[0]):
        answers = deliver(empty_kvitto, range(1, 200), at_once=1)
    seconds = [answer.elapsed.total_seconds() for answer in answers]
    assert median(seconds) < max(seconds) / 2  # only the request that finds out waits for Redis' time limit
    check(empty_kvitto, first + answers)


def test_with_both_gone_the_answer_is_503_before_either_is_back(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    servers = [
        pid for name in ("valkey-server", "bin/postgres") for pid in process_tree.named(kvitto.process.pid, name)
    ]
    # Once the first stands still it starts no others, and those that it had started are known.
    with stopped(*servers), stopped(*(child for pid in servers for child in process_tree.below(pid))):
        answers = deliver(kvitto, range(48))
        eventually(lambda: kvitto.client.get("/readyz").status_code == 503, "unready")
    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["Retry-After"] for answer in answers)
    eventually(lambda: kvitto.client.get("/readyz").status_code == 200, "ready again")
    assert deliver(kvitto, range(1))[0].status_code == 200


def test_large_bodies_go_to_the_overflow_and_to_redis_when_postgres_is_gone(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    large = encrypt({"application_id": "large", "note": "x" * 400_000}, KEY)
    assert kvitto.post("applications", large).status_code == 200
    assert kvitto.audit()["overflowed"] == 1
    postgres = [pid for pid, command in process_tree.below(kvitto.process.pid).items() if "postgres" in command]
    with stopped(*postgres):
        answer = kvitto.post("applications", encrypt({"application_id": "larger", "note": "x" * 400_000}, KEY))
        assert answer.status_code == 200
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] == "stored"
    # What Postgres took after all, once it went on, is a copy.
    eventually(lambda: kvitto.audit()["in_flight"] == 0, "everything processed")
    account = kvitto.audit()
    assert (account["overflowed"] + account["appended"] - account["copies"], account["missing"]) == (2, 0)


def test_many_large_bodies_at_once_are_bounded_in_memory(empty_kvitto: Running) -> None:
    kvitto = empty_kvitto
    edge = next(
        pid
        for pid in process_tree.named(kvitto.process.pid, "kvitto ingest")
        if not process_tree.named(pid, "kvitto ingest")
    )
    body = b"x" * (24 * 1024 * 1024)
    with ThreadPoolExecutor(24) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: _post(kvitto, body), range(24))]
    assert set(statuses) <= {200, 503}
    eventually(lambda: _post(kvitto, body).status_code == 200, "room again", 300)
    peak = next(
        int(line.split()[1]) for line in Path(f"/proc/{edge}/status").read_text().splitlines() if "VmHWM" in line
    )
    assert peak < 1200 * 1024  # kB; each is held in clear, sealed, and on its way: all of them would be over 1700


def _post(kvitto: Running, body: bytes) -> httpx.Response:
    headers = {"Authorization": f"token {SECRETS['KOMPAR_TOKENS'].split(',')[0]}"}
    return httpx.post(f"{kvitto.ingest}/webhooks/kompar/applications", content=body, headers=headers, timeout=60)


def test_a_delivery_appended_again_since_no_answer_came_is_kept_once(connection: Connection) -> None:
    delivery = Delivery(uuid7(), "kompar", "applications", {}, b"sealed")
    for seconds in range(2):
        overflow.append(connection, delivery, datetime(2100, 1, 1, second=seconds, tzinfo=UTC))
    (row,) = connection.execute("SELECT received_at FROM overflow")
    assert row.received_at == datetime(2100, 1, 1, tzinfo=UTC)
