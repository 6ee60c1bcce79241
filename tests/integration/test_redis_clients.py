"""Inbox and broker reach a Redis by one address, over verified TLS; what fails is called what it is."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import kombu
import pytest
import trustme
from redis import Redis

from app.errors import StoreUnavailableError
from app.inbox import client, wakeup
from app.local.embedded_servers import prepare_valkey
from config.celery import PUBLISHER_OPTIONS, broker_connection
from config.redis_address import RedisAddress
from tests.integration.test_refusals import KEYS, startup_failure
from tests.support.kvitto_process import SECRETS, command, run
from tests.support.misconfigurations import NOWHERE
from tests.support.ports import free_port
from tests.support.sentinel import PRIMARY_NAME, WatchedPair, watched_pair
from tests.support.servers import REDIS_CONF, bare_environment, eventually, serving

PASSWORD = "12;34:5/6@7%25"
ENCODED = "12;34:5%2F6@7%2525"  # `;` as it is: it separates brokers in kombu's addresses


def reach(address: RedisAddress) -> None:
    """Use the inbox's client, a publisher of wake-ups and the connection of a worker."""
    with closing(client.connect(address)) as redis:
        redis.set("inbox:reached", 1)
    wakeup.check(address, ["kompar"])
    with closing(wakeup.WakeupPublisher(address)) as publisher:
        publisher.publish("kompar")
    with kombu.Connection(**broker_connection(address, PUBLISHER_OPTIONS)) as connection:
        message = connection.SimpleQueue("kompar", no_ack=True).get(timeout=60)
        assert message.payload[0] == ["kompar"]


@contextmanager
def served(folder: Path, *options: str, program: str = "") -> Iterator[None]:
    """Serve a Valkey, or another program, under the project's redis.conf."""
    valkey, *line = prepare_valkey(folder / "data", 0, REDIS_CONF)
    with serving([program or valkey, *line, *options], folder / "log"):
        eventually(lambda: "Ready to accept" in (folder / "log").read_text(), "Redis ready")
        yield


@pytest.mark.parametrize("form", ["user", "IPv6", "socket file"])
def test_address_with_special_characters_reaches_inbox_and_broker(tmp_path: Path, form: str) -> None:
    port, file = free_port(), tmp_path / "s"
    options = ("--bind", "127.0.0.1 ::1", "--port", str(port), "--unixsocket", str(file), "--requirepass", PASSWORD)
    address = {
        "user": f"redis://default:{ENCODED}@127.0.0.1:{port}/3",
        "IPv6": f"redis://:{ENCODED}@[::1]:{port}/3",
        "socket file": f"unix://:{ENCODED}@{file}?db=3",
    }[form]
    with served(tmp_path, *options):
        reach(RedisAddress.parse(address))
        with closing(client.connect(RedisAddress((("127.0.0.1", port),), password=PASSWORD, database=3))) as redis:
            assert redis.exists("inbox:reached")


_TRIES = """
from kombu.exceptions import OperationalError
from workers.celery import app
pauses = []
with app.connection_for_read() as connection:
    try:
        connection.ensure_connection(lambda error, pause: pauses.append(pause), 4)
    except OperationalError:
        print(pauses)
"""


def test_worker_tries_a_broker_that_is_away_every_three_seconds() -> None:
    given = bare_environment() | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    done = subprocess.run([sys.executable, "-c", _TRIES], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 2, 3, 3]


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[int]:
    """A Redis that speaks TLS alone, with a certificate for 127.0.0.1 only. The embedded server speaks none."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: run tests/prepare"
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for position, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "certificate.pem", append=position > 0)
    options = ("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", PASSWORD)
    files = ("--tls-cert-file", f"{folder}/certificate.pem", "--tls-key-file", f"{folder}/key.pem")
    with served(folder, *options, *files, program=program):
        yield port


@pytest.fixture
def trusted(tmp_path: Path, authority: trustme.CA) -> str:
    """A file with the authority of the server."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority"))
    return str(tmp_path / "authority")


def logins(redis: Redis) -> int:
    stats: Any = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("auth", "hello"))


def test_tls_with_a_trusted_certificate_reaches_inbox_and_broker(tls_port: int, trusted: str) -> None:
    reach(RedisAddress.parse(f"rediss://:{ENCODED}@127.0.0.1:{tls_port}", authority=trusted))


@pytest.mark.parametrize(("host", "is_trusted"), [("127.0.0.1", False), ("localhost", True)])
def test_tls_with_another_certificate_sends_no_password(
    tls_port: int, trusted: str, host: str, is_trusted: bool
) -> None:
    address = RedisAddress.parse(f"rediss://:{ENCODED}@{host}:{tls_port}", authority=trusted if is_trusted else "")
    why = "for another name" if is_trusted else "no authority that is trusted"
    good = RedisAddress.parse(f"rediss://:{ENCODED}@127.0.0.1:{tls_port}", authority=trusted)
    with (
        closing(client.connect(good)) as redis,
        closing(client.connect(address)) as other,
        closing(wakeup.WakeupPublisher(address)) as publisher,
    ):
        before = logins(redis)
        with pytest.raises(StoreUnavailableError, match=f"redis-certificate-not-trusted.*{why}"):
            client.ping(other)
        with pytest.raises(StoreUnavailableError, match=f"broker-certificate-not-trusted.*{why}"):
            wakeup.check(address, ["kompar"])
        publisher.publish("kompar")
        assert logins(redis) == before


@pytest.mark.parametrize(("host", "is_trusted"), [("127.0.0.1", False), ("localhost", True)])
def test_check_of_another_certificate_says_so(tls_port: int, trusted: str, host: str, is_trusted: bool) -> None:
    url = f"rediss://:{ENCODED}@{host}:{tls_port}"
    environment = {"REDIS_URL": url, "CELERY_BROKER_URL": f"{url}/1"} | ({"CA_FILE": trusted} if is_trusted else {})
    done = run("check", "ingest", environment=environment)
    assert "redis-certificate-not-trusted" in done.stdout
    assert "CA_FILE" in done.stdout
    assert "broker-certificate-not-trusted" in done.stdout


def test_check_of_a_trusted_certificate_reaches_inbox_and_broker(tls_port: int, trusted: str) -> None:
    url = f"rediss://:{ENCODED}@127.0.0.1:{tls_port}"
    environment = {"REDIS_URL": url, "CELERY_BROKER_URL": f"{url}/1", "CA_FILE": trusted}
    results = json.loads(run("check", "ingest", "--json", environment=environment).stdout)
    levels = {result["name"]: result["level"] for result in results}
    assert (levels["redis"], levels["redis permissions"], levels["broker"]) == ("ok", "ok", "ok")


# Start.


@pytest.mark.parametrize(
    ("process", "name"),
    [
        ("ingest", "REDIS_URL"),
        ("ingest", "CELERY_BROKER_URL"),
        ("worker", "REDIS_URL"),
        ("worker", "CELERY_BROKER_URL"),
        ("beat", "CELERY_BROKER_URL"),
    ],
)
def test_start_with_an_option_in_an_address_is_a_fault_that_names_it(database: str, process: str, name: str) -> None:
    addresses = dict.fromkeys(("REDIS_URL", "CELERY_BROKER_URL"), "redis://127.0.0.1:1")
    addresses[name] = "redis://:ab;hidden@127.0.0.1:1?socket_timeout=5"
    error = startup_failure(process, database, addresses["REDIS_URL"], CELERY_BROKER_URL=addresses["CELERY_BROKER_URL"])
    assert f"{name}: has an option that Kvitto does not take: socket_timeout" in error
    assert "hidden" not in error


@pytest.mark.parametrize("process", ["worker", "beat"])
def test_process_without_a_broker_logs_why_by_type_alone(database: str, tmp_path: Path, process: str) -> None:
    environment = bare_environment() | SECRETS | KEYS
    environment |= {"DATABASE_URL": database, "REDIS_URL": f"redis://:hid;den@{NOWHERE}", "CANARY_SECRET": ""}
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(command(process), env=environment, stderr=out) as running:
        try:
            eventually(lambda: "ConnectionError" in log.read_text(), "its log", 60)
        finally:
            running.send_signal(signal.SIGTERM)
    assert "hid" not in log.read_text()
    assert "connecting to" not in log.read_text()  # redis-py's message


# Sentinel.


def among_others(pair: WatchedPair) -> RedisAddress:
    """Return the address of the pair's sentinel, after one that does not answer."""
    url = pair.environment["REDIS_URL"].replace("@", f"@{NOWHERE},")
    return RedisAddress.parse(url + "/1", pair.environment["REDIS_SENTINEL_PASSWORD"])


def test_fail_over_by_sentinel_brings_inbox_and_broker_to_the_promoted_server(tmp_path: Path) -> None:
    with (
        watched_pair(tmp_path, PASSWORD) as pair,
        closing(client.connect(address := among_others(pair))) as redis,
        closing(wakeup.WakeupPublisher(address)) as publisher,
    ):
        first, second = pair.servers
        eventually(lambda: port_of_primary(redis) == first.port, "the sentinel names the first server")
        reach(address)
        publisher.publish("before")
        pair.sentinel.sentinel_failover(PRIMARY_NAME)
        eventually(lambda: port_of_primary(redis) == second.port, "the inbox's client is at the second server", 60)
        with closing(client.connect(RedisAddress((("127.0.0.1", second.port),), "", PASSWORD, 1))) as promoted:
            eventually(lambda: published(publisher, promoted), "a wake-up arrives there", 60)


def port_of_primary(redis: Redis) -> int:
    """Return the port of the server that takes a write of this client; 0 without one."""
    with suppress(StoreUnavailableError), client.translate_errors():
        redis.set("inbox:written", 1)
        settings: Any = redis.config_get("port")
        return int(settings["port"])
    return 0


def published(publisher: wakeup.WakeupPublisher, redis: Redis) -> bool:
    publisher.publish("after")
    return bool(redis.llen("after"))


def test_address_of_sentinels_that_know_no_such_primary_says_so(tmp_path: Path) -> None:
    with (
        watched_pair(tmp_path, PASSWORD) as pair,
        closing(client.connect(replace(among_others(pair), primary="another"))) as redis,
        pytest.raises(StoreUnavailableError, match="no sentinel names a primary"),
    ):
        client.ping(redis)
