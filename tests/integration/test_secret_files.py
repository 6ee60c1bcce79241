"""Connections that are made after a secret file was written log in as the file says."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import kombu
import pytest
from redis import Redis

from app.inbox import client, wakeup
from app.storage.connection import Connection, connect, connect_to_read, session
from app.storage.ledger import Ledger
from app.storage.pool import Pool
from config.celery import PUBLISHER_OPTIONS, broker_connection
from config.environment import Environment
from config.settings import redis_address
from tests.support.redis_server import RedisServer
from tests.support.servers import eventually

OLD, NEW = "first-password-of-redis", "another-password-of-redis"


def user_of(connection: Connection) -> str:
    (found,) = connection.execute("SELECT current_user AS name").fetchone() or ("",)
    return str(found)


def by_session(dsn: str) -> str:
    with session(dsn, "test") as connection:
        return user_of(connection)


def by_pool(dsn: str) -> str:
    with closing(Pool(dsn, "test", 5)) as pool:
        return pool.run(user_of)


def by_ledger(dsn: str) -> str:
    with closing(Ledger(dsn, "kompar")) as ledger, ledger.connected() as connection:
        return user_of(connection)


def to_read(dsn: str) -> str:
    with connect_to_read(dsn, "test") as connection:
        return user_of(connection)


@pytest.mark.parametrize("ask", [by_session, by_pool, by_ledger, to_read])
def test_new_connection_to_postgres_logs_in_as_the_file_says(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[str], str]
) -> None:
    (tmp_path / "url").write_text(database.replace("kvitto@", "kvitto_worker@"))
    assert ask(database) == "kvitto"
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert ask(database) == "kvitto_worker"


def test_pool_replaces_a_broken_connection_with_the_login_that_counts_now(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(database)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    with closing(Pool(database, "pool", 5)) as pool, connect(database, "test") as other:
        assert pool.run(user_of) == "kvitto"
        (tmp_path / "url").write_text(database.replace("kvitto@", "kvitto_worker@"))
        own = "datname = current_database() AND application_name = 'kvitto-pool'"
        other.execute(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {own}")
        assert pool.run(user_of) == "kvitto_worker"


def test_new_connection_to_redis_logs_in_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RedisServer(tmp_path / "redis", OLD)
    server.start()
    (tmp_path / "url").write_text(server.url)
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    address = redis_address(Environment(os.environ))
    kept = kombu.Connection(**broker_connection(address, PUBLISHER_OPTIONS))
    with closing(client.connect(address)) as redis, closing(wakeup.WakeupPublisher(address)) as publisher, kept:
        redis.ping()
        publisher.send("kompar")
        kept.SimpleQueue("kompar", no_ack=True).get(timeout=60)
        with Redis.from_url(server.url) as administrator:
            administrator.config_set("requirepass", NEW)
            (tmp_path / "url").write_text(server.url.replace(OLD, NEW))
            administrator.execute_command("CLIENT", "KILL", "TYPE", "normal")

        def works(use: Callable[[], object]) -> bool:
            try:
                use()
            except Exception:  # connections that the server has closed are found at their first use
                time.sleep(0.1)
                return False
            return True

        eventually(lambda: works(redis.ping), "the client's new connection")
        eventually(lambda: works(lambda: publisher.send("kompar")), "the publisher's new connection")
        with kept.clone() as another:
            assert another.SimpleQueue("kompar", no_ack=True).get(timeout=60)
    server.kill()
