"""Rules for servers, with reports that no server at hand can be made to give."""

from datetime import date
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
    "server_encoding": "UTF8", "transaction_read_only": "off", "in_recovery": False,
    "privileges": postgres.Privileges("kvitto_worker", False, False, {"worker": []}),
    "max_connections": "100", "superuser_reserved_connections": "3", "connections": 1, "pending": [], "clock": 0.0,
    "session": {"timezone": ("UTC", "UTC")},
    "collation": ("", ""), "partitions": (False, date(2027, 2, 1), date(2026, 11, 1)),
}  # fmt: skip


INGEST = redis.Use(body_limit_bytes=1024)


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
    assert problems(redis.check(REDIS, INGEST)) == []
    assert problems(redis.check(REDIS | reported, INGEST)) == [(subject, CheckLevel.FAULT)]


def test_redis_with_a_failed_rewrite_is_a_warning() -> None:
    reported = REDIS | {"aof_last_bgrewrite_status": "err"}
    assert problems(redis.check(reported, redis.Use())) == [("redis last write", CheckLevel.WARNING)]


def test_redis_version_of_valkey_is_valkeys_own() -> None:
    (version, *_) = redis.blocking_problems(REDIS | {"redis_version": "7.2.4", "valkey_version": "9.1.2"})
    assert version == CheckResult(CheckLevel.OK, "redis version", "Valkey 9.1.2")


def test_redis_that_hides_everything_is_a_warning_and_may_start() -> None:
    results = dict(problems(redis.check({"clock": 0.0}, redis.Use(redis.DURABILITY_NAMES, body_limit_bytes=1024))))
    assert {"redis version", "redis memory", "redis clients"} <= set(results)
    assert set(results.values()) == {CheckLevel.WARNING}
    assert only_faults(redis.blocking_problems({})) == []


@pytest.mark.parametrize(
    ("reported", "subject"),
    [({"server_version_num": "140012"}, "postgres version"), ({"clock": 31.0}, "postgres clock")],
)
def test_postgres_that_cannot_serve_is_a_fault(reported: dict[str, Any], subject: str) -> None:
    assert problems(postgres.check(POSTGRES, (), migrates=False)) == []
    assert problems(postgres.check(POSTGRES | reported, (), migrates=False)) == [(subject, CheckLevel.FAULT)]


def test_postgres_may_log_statements_without_parameters() -> None:
    reported = POSTGRES | {"log_statement": "all", "log_min_duration_statement": "0"}
    assert len(problems(postgres.check(reported, (), migrates=False))) == 2
    assert problems(postgres.check(reported | {"log_parameter_max_length": "0"}, (), migrates=False)) == []


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
    (result,) = only_faults(postgres.check(reported, (), migrates=False))
    assert result.name == "postgres session"
    assert result.message == "search_path is '\"$user\", public', not 'kvitto'"
    assert "PgBouncer" in result.hint


@pytest.mark.parametrize(
    ("connected", "use", "level"),
    [
        (0, redis.Use(), CheckLevel.OK),
        (1, redis.Use(), CheckLevel.WARNING),
        (1, redis.Use(keeps_deliveries=False), CheckLevel.OK),
        (1, redis.Use(replicas=1), CheckLevel.OK),
        (1, redis.Use(replicas=2), CheckLevel.FAULT),
    ],
)
def test_replicas_that_need_not_confirm_are_a_warning_and_too_few_a_fault(
    connected: int, use: redis.Use, level: CheckLevel
) -> None:
    results = redis.check(REDIS | {"connected_slaves": connected}, use)
    assert [result.level for result in results if result.name == "redis replicas"] == [level]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("keeps_deliveries", [False, True])
def test_check_says_which_durable_stores_a_redis_allows(hidden: bool, keeps_deliveries: bool) -> None:
    reported = {name: value for name, value in REDIS.items() if not hidden or name not in redis.DURABILITY_SETTINGS}
    results = list(redis.check(reported, redis.Use(keeps_deliveries=keeps_deliveries)))
    text = " ".join(str(result) for result in results if result.name.startswith(("redis durability", "redis append")))
    assert f"this server allows DURABLE_STORE={'postgres' if hidden else 'redis or postgres'}" in text
    assert bool(only_faults(results)) is (hidden and keeps_deliveries)


def test_exception_is_for_one_setting() -> None:
    reported = REDIS | {"appendonly": "no", "appendfsync": "no"}
    results = redis.check(reported, redis.Use({"redis.appendonly"}))
    assert problems(results) == [("redis appendonly", CheckLevel.WARNING), ("redis appendfsync", CheckLevel.FAULT)]


@pytest.mark.parametrize("reported", [{"redis_version": "6.2.5"}, {"redis_mode": "sentinel"}])
def test_server_of_another_kind_is_one_fault(reported: dict[str, Any]) -> None:
    """Its settings have other names, or none."""
    assert len(problems(redis.check({"redis_version": "7.0.0"} | reported, redis.Use()))) == 1


@pytest.mark.parametrize(
    ("has_strays", "last_month", "says"),
    [(True, date(2027, 2, 1), "are of months that have none"), (False, date(2026, 11, 1), "the last is of 2026-11")],
)
def test_partitions_that_are_missing_or_bypassed_are_a_warning(has_strays: bool, last_month: date, says: str) -> None:
    reported = POSTGRES | {"partitions": (has_strays, last_month, date(2026, 11, 1))}
    assert problems(postgres.check(reported, (), migrates=False)) == [("postgres partitions", CheckLevel.WARNING)]
    assert says in str(list(postgres.check(reported, (), migrates=False)))
    unreadable = POSTGRES | {"partitions": None}
    assert problems(postgres.check(unreadable, (), migrates=False)) == []


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({}, "limits nothing of kompar, solaris, whose data is kept for good"),
        ({"kompar": {"bodies": 6}}, "limits kompar.bodies=6, nothing of solaris, whose data is kept for good"),
        ({"kompar": {"bodies": 6}, "solaris": {"bodies": 3}}, "limits kompar.bodies=6, solaris.bodies=3"),
    ],
)
def test_retention_is_said_and_what_has_no_limit(limits: dict[str, dict[str, int]], says: str) -> None:
    assert settings.check_retention(limits, ["kompar", "solaris"]).message == says
