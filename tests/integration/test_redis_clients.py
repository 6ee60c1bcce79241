"""Inbox and broker reach a Redis by one address, over verified TLS; what fails is called what it is."""

import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
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
from tests.support.forwarder import Forwarder
from tests.support.kvitto_process import SECRETS, command, run
from tests.support.misconfigurations import NOWHERE
from tests.support.ports import free_port
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
        message = connection.SimpleQueue("kompar", no_ack=True).get(timeout=5)
        assert message.payload[0] == ["kompar"]


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[None]:
    """Serve a Valkey under a copy of the project's redis.conf: a sentinel has the file written again."""
    configuration = folder / "redis.conf"
    configuration.write_text(REDIS_CONF.read_text())
    with serving([*prepare_valkey(folder / "valkey", 0, configuration), *options], folder / "valkey.log"):
        eventually(lambda: "Ready to accept" in (folder / "valkey.log").read_text(), "valkey ready")
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
    with valkey(tmp_path, *options):
        reach(RedisAddress.parse(address))
        with closing(client.connect(RedisAddress((("127.0.0.1", port),), password=PASSWORD, database=3))) as redis:
            assert redis.exists("inbox:reached")


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_port(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[int]:
    """A Valkey behind TLS, with a certificate for 127.0.0.1 only. The embedded one is built without TLS."""
    context, port = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), free_port()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        valkey(tmp_path_factory.mktemp("tls"), "--port", str(port), "--requirepass", PASSWORD),
        Forwarder(port, context) as front,
    ):
        yield front.port


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


def test_check_of_an_untrusted_certificate_says_so(tls_port: int, trusted: str) -> None:
    url = f"rediss://:{ENCODED}@127.0.0.1:{tls_port}"
    done = run("check", "ingest", environment={"REDIS_URL": url, "CELERY_BROKER_URL": f"{url}/1"})
    assert "redis-certificate-not-trusted" in done.stdout
    assert "CA_FILE" in done.stdout
    assert "broker-certificate-not-trusted" in done.stdout
    done = run("check", "ingest", environment={"REDIS_URL": url, "CA_FILE": trusted})
    assert "certificate" not in done.stdout


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
        eventually(lambda: "ConnectionError" in log.read_text(), "its log")
        running.send_signal(signal.SIGTERM)
        running.wait(30)
    assert "hid" not in log.read_text()
    assert "connecting to" not in log.read_text()  # redis-py's message


# Sentinel.


@contextmanager
def watched(folder: Path) -> Iterator[tuple[RedisAddress, list[int]]]:
    """A primary and its replica, watched by a sentinel; all ask for passwords. Yield the address and both ports."""
    ports, sentinel = [free_port(), free_port()], free_port()
    login = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {sentinel}\nrequirepass sentinels\nsentinel monitor mymaster 127.0.0.1 {ports[0]} 1\n"
        f'sentinel auth-pass mymaster "{PASSWORD}"\nsentinel down-after-milliseconds mymaster 1000\n'
    )
    server = prepare_valkey(folder / "unused", sentinel, configuration)[0]
    for name in "01":
        (folder / name).mkdir()
    with ExitStack() as stack:
        stack.enter_context(valkey(folder / "0", "--port", str(ports[0]), *login))
        replica = ("--port", str(ports[1]), *login, "--replicaof", f"127.0.0.1 {ports[0]}")
        stack.enter_context(valkey(folder / "1", *replica))
        stack.enter_context(serving([server, str(configuration), "--sentinel"], folder / "sentinel.log"))
        url = f"redis+sentinel://:{ENCODED}@{NOWHERE},127.0.0.1:{sentinel}/mymaster/1"
        yield RedisAddress.parse(url, "sentinels"), ports


def test_fail_over_by_sentinel_brings_inbox_and_broker_to_the_promoted_server(tmp_path: Path) -> None:
    with (
        watched(tmp_path) as (address, ports),
        closing(client.connect(address)) as redis,
        closing(wakeup.WakeupPublisher(address)) as publisher,
        closing(Redis(port=address.hosts[1][1], password="sentinels")) as asked,
    ):
        eventually(lambda: port_of_primary(redis) == ports[0], "the sentinel names the first server")
        reach(address)
        publisher.publish("before")
        eventually(lambda: has_replica(asked), "the sentinel knows the replica")
        asked.sentinel_failover("mymaster")
        eventually(lambda: port_of_primary(redis) == ports[1], "the inbox's client is at the second server", 60)
        with closing(client.connect(RedisAddress((("127.0.0.1", ports[1]),), "", PASSWORD, 1))) as second:
            eventually(lambda: published(publisher, second), "a wake-up arrives there", 60)


def port_of_primary(redis: Redis) -> int:
    """Return the port of the server that takes a write of this client; 0 without one."""
    with suppress(StoreUnavailableError), client.translate_errors():
        redis.set("inbox:written", 1)
        settings: Any = redis.config_get("port")
        return int(settings["port"])
    return 0


def has_replica(sentinel: Redis) -> bool:
    state: Any = sentinel.sentinel_master("mymaster")
    return bool(state["num-slaves"] == 1 and "down" not in str(state["flags"]))


def published(publisher: wakeup.WakeupPublisher, redis: Redis) -> bool:
    publisher.publish("after")
    return bool(redis.llen("after"))


def test_address_of_sentinels_that_know_no_such_primary_says_so(tmp_path: Path) -> None:
    with (
        watched(tmp_path) as (address, _),
        closing(client.connect(replace(address, primary="another"))) as redis,
        pytest.raises(StoreUnavailableError, match="no sentinel names a primary"),
    ):
        client.ping(redis)
