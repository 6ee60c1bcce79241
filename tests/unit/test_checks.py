"""What no server at hand can be made to tell is judged by what it would tell."""

from typing import Any

import pytest

from config.checks import postgres, redis, settings
from config.checks.result import CheckLevel, CheckResult, clock, headroom, only_faults

REDIS: dict[str, Any] = {
    "redis_version": "7.0.0", "redis_mode": "standalone", "role": "master", "connected_slaves": 0, "loading": 0,
    "appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction",
    "used_memory": 10, "maxmemory": 100, "connected_clients": 10, "maxclients": 100, "clock": 0.0,
}  # fmt: skip
POSTGRES: dict[str, Any] = {
    "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "server_version_num": "150000",
    "server_encoding": "UTF8", "transaction_read_only": "off", "in_recovery": False, "superuser": False, "owner": False,
    "max_connections": "100", "superuser_reserved_connections": "3", "connections": 1, "pending": [], "clock": 0.0,
}  # fmt: skip


def doubted(findings: Any) -> list[tuple[str, CheckLevel]]:
    return [(finding.name, finding.level) for finding in findings if finding.level is not CheckLevel.OK]


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"redis_version": "6.2.14"}, "redis version"),
        ({"redis_mode": "sentinel"}, "redis mode"),
        ({"loading": 1}, "redis loading"),
        ({"async_loading": 1}, "redis loading"),
        ({"aof_last_write_status": "err"}, "redis last write"),
        ({"clock": 31.0}, "redis clock"),
    ],
)
def test_a_redis_that_cannot_serve(told: dict[str, Any], what: str) -> None:
    assert doubted(redis.judge(REDIS, False, 1024)) == []
    assert doubted(redis.judge(REDIS | told, False, 1024)) == [(what, CheckLevel.FAULT)]


def test_a_failed_rewrite_is_doubtful() -> None:
    told = REDIS | {"aof_last_bgrewrite_status": "err"}
    assert doubted(redis.judge(told, False, None)) == [("redis last write", CheckLevel.WARNING)]


def test_valkey_is_known_by_its_own_version() -> None:
    (version, *_) = redis.blocking_problems(REDIS | {"redis_version": "7.2.4", "valkey_version": "9.1.2"})
    assert version == CheckResult(CheckLevel.OK, "redis version", "Valkey 9.1.2")


def test_a_redis_that_hides_everything_is_doubtful_yet_not_refused_for_its_version() -> None:
    found = dict(doubted(redis.judge({"clock": 0.0}, True, 1024)))
    assert {"redis version", "redis memory", "redis clients"} <= set(found)
    assert set(found.values()) == {CheckLevel.WARNING}
    assert only_faults(redis.blocking_problems({})) == []


@pytest.mark.parametrize(
    ("told", "what"),
    [({"server_version_num": "140012"}, "postgres version"), ({"clock": 31.0}, "postgres clock")],
)
def test_a_postgres_that_cannot_serve(told: dict[str, Any], what: str) -> None:
    assert doubted(postgres.judge(POSTGRES, False, migrates=False)) == []
    assert doubted(postgres.judge(POSTGRES | told, False, migrates=False)) == [(what, CheckLevel.FAULT)]


def test_statements_without_their_parameters_may_be_logged() -> None:
    told = POSTGRES | {"log_statement": "all", "log_min_duration_statement": "0"}
    assert len(doubted(postgres.judge(told, False, migrates=False))) == 2
    assert doubted(postgres.judge(told | {"log_parameter_max_length": "0"}, False, migrates=False)) == []


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (0.0, CheckLevel.OK),
        (1.0, CheckLevel.OK),
        (1.1, CheckLevel.WARNING),
        (30.0, CheckLevel.WARNING),
        (30.1, CheckLevel.FAULT),
    ],
)
def test_clocks_that_differ(seconds: float, verdict: CheckLevel) -> None:
    assert clock("a clock", seconds).level is verdict


@pytest.mark.parametrize(
    ("used", "verdict"),
    [
        (0, CheckLevel.OK),
        (75, CheckLevel.OK),
        (76, CheckLevel.WARNING),
        (90, CheckLevel.WARNING),
        (91, CheckLevel.FAULT),
    ],
)
def test_room_that_is_left(used: int, verdict: CheckLevel) -> None:
    assert headroom("a room", used, 100, "make room").level is verdict


@pytest.mark.parametrize(
    ("ingest", "console", "collide"),
    [
        (("127.0.0.1", 8080), ("127.0.0.1", 8080), True),
        (("::", 8080), ("127.0.0.1", 8080), True),
        (("127.0.0.1", 8080), ("127.0.0.1", 8081), False),
        (("127.0.0.1", 8080), ("10.0.0.1", 8080), False),
        (("127.0.0.1", 0), ("127.0.0.1", 0), False),
    ],
)
def test_two_processes_on_one_address(ingest: tuple[str, int], console: tuple[str, int], collide: bool) -> None:
    found = settings.judge_binds({"INGEST_BIND": ingest, "CONSOLE_BIND": console})
    assert (("CONSOLE_BIND", CheckLevel.FAULT) in doubted(found)) is collide
