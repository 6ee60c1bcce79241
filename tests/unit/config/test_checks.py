"""Rules for servers, with reports that no server at hand can be made to give."""

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
    "session": {"timezone": ("UTC", "UTC")},
}  # fmt: skip


def problems(results: Any) -> list[tuple[str, CheckLevel]]:
    return [(result.name, result.level) for result in results if result.level is not CheckLevel.OK]


@pytest.mark.parametrize(
    ("reported", "subject"),
    [
        ({"redis_version": "6.2.14"}, "redis version"),
        ({"redis_mode": "sentinel"}, "redis mode"),
        ({"loading": 1}, "redis loading"),
        ({"async_loading": 1}, "redis loading"),
        ({"aof_last_write_status": "err"}, "redis last write"),
        ({"clock": 31.0}, "redis clock"),
    ],
)
def test_redis_that_cannot_serve_is_a_fault(reported: dict[str, Any], subject: str) -> None:
    assert problems(redis.check(REDIS, False, 1024)) == []
    assert problems(redis.check(REDIS | reported, False, 1024)) == [(subject, CheckLevel.FAULT)]


def test_redis_with_a_failed_rewrite_is_a_warning() -> None:
    reported = REDIS | {"aof_last_bgrewrite_status": "err"}
    assert problems(redis.check(reported, False, None)) == [("redis last write", CheckLevel.WARNING)]


def test_redis_version_of_valkey_is_valkeys_own() -> None:
    (version, *_) = redis.blocking_problems(REDIS | {"redis_version": "7.2.4", "valkey_version": "9.1.2"})
    assert version == CheckResult(CheckLevel.OK, "redis version", "Valkey 9.1.2")


def test_redis_that_hides_everything_is_a_warning_and_may_start() -> None:
    results = dict(problems(redis.check({"clock": 0.0}, True, 1024)))
    assert {"redis version", "redis memory", "redis clients"} <= set(results)
    assert set(results.values()) == {CheckLevel.WARNING}
    assert only_faults(redis.blocking_problems({})) == []


@pytest.mark.parametrize(
    ("reported", "subject"),
    [({"server_version_num": "140012"}, "postgres version"), ({"clock": 31.0}, "postgres clock")],
)
def test_postgres_that_cannot_serve_is_a_fault(reported: dict[str, Any], subject: str) -> None:
    assert problems(postgres.check(POSTGRES, False, migrates=False)) == []
    assert problems(postgres.check(POSTGRES | reported, False, migrates=False)) == [(subject, CheckLevel.FAULT)]


def test_postgres_may_log_statements_without_parameters() -> None:
    reported = POSTGRES | {"log_statement": "all", "log_min_duration_statement": "0"}
    assert len(problems(postgres.check(reported, False, migrates=False))) == 2
    assert problems(postgres.check(reported | {"log_parameter_max_length": "0"}, False, migrates=False)) == []


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (0.0, CheckLevel.OK),
        (1.0, CheckLevel.OK),
        (1.1, CheckLevel.WARNING),
        (30.0, CheckLevel.WARNING),
        (30.1, CheckLevel.FAULT),
    ],
)
def test_clock_difference_is_a_warning_or_a_fault(seconds: float, level: CheckLevel) -> None:
    assert clock("a clock", seconds).level is level


@pytest.mark.parametrize(
    ("used", "level"),
    [
        (0, CheckLevel.OK),
        (75, CheckLevel.OK),
        (76, CheckLevel.WARNING),
        (90, CheckLevel.WARNING),
        (91, CheckLevel.FAULT),
    ],
)
def test_headroom_is_a_warning_or_a_fault(used: int, level: CheckLevel) -> None:
    assert headroom("memory", used, 100, "free some").level is level


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
def test_two_processes_on_one_address_are_a_fault(
    ingest: tuple[str, int], console: tuple[str, int], collide: bool
) -> None:
    results = settings.check_binds({"INGEST_BIND": ingest, "CONSOLE_BIND": console})
    assert (("CONSOLE_BIND", CheckLevel.FAULT) in problems(results)) is collide


def test_postgres_session_without_a_requested_setting_is_a_fault() -> None:
    reported = POSTGRES | {"session": {"timezone": ("UTC", "UTC"), "search_path": ("kvitto", '"$user", public')}}
    (result,) = only_faults(postgres.check(reported, False, migrates=False))
    assert result.name == "postgres session"
    assert result.message == "search_path is '\"$user\", public', not 'kvitto'"
    assert "pooler" in result.hint
