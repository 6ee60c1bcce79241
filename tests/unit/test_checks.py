"""What no server at hand can be made to tell is judged by what it would tell."""

from typing import Any

import pytest

from config import postgres_checks, redis_checks, settings_checks
from config.findings import Finding, Verdict, clock, headroom, to_faults

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


def doubted(findings: Any) -> list[tuple[str, Verdict]]:
    return [(finding.what, finding.verdict) for finding in findings if finding.verdict is not Verdict.OK]


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
    assert doubted(redis_checks.judge(REDIS, False, 1024)) == []
    assert doubted(redis_checks.judge(REDIS | told, False, 1024)) == [(what, Verdict.FAULT)]


def test_a_failed_rewrite_is_doubtful() -> None:
    told = REDIS | {"aof_last_bgrewrite_status": "err"}
    assert doubted(redis_checks.judge(told, False, None)) == [("redis last write", Verdict.WARNING)]


def test_valkey_is_known_by_its_own_version() -> None:
    (version, *_) = redis_checks.unfit(REDIS | {"redis_version": "7.2.4", "valkey_version": "9.1.2"})
    assert version == Finding("redis version", Verdict.OK, "Valkey 9.1.2")


def test_a_redis_that_hides_everything_is_doubtful_yet_not_refused_for_its_version() -> None:
    found = dict(doubted(redis_checks.judge({"clock": 0.0}, True, 1024)))
    assert {"redis version", "redis memory", "redis clients"} <= set(found)
    assert set(found.values()) == {Verdict.WARNING}
    assert to_faults(redis_checks.unfit({})) == []


@pytest.mark.parametrize(
    ("told", "what"),
    [({"server_version_num": "140012"}, "postgres version"), ({"clock": 31.0}, "postgres clock")],
)
def test_a_postgres_that_cannot_serve(told: dict[str, Any], what: str) -> None:
    assert doubted(postgres_checks.judge(POSTGRES, False, migrates=False)) == []
    assert doubted(postgres_checks.judge(POSTGRES | told, False, migrates=False)) == [(what, Verdict.FAULT)]


def test_statements_without_their_parameters_may_be_logged() -> None:
    told = POSTGRES | {"log_statement": "all", "log_min_duration_statement": "0"}
    assert len(doubted(postgres_checks.judge(told, False, migrates=False))) == 2
    assert doubted(postgres_checks.judge(told | {"log_parameter_max_length": "0"}, False, migrates=False)) == []


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0.0, Verdict.OK), (1.0, Verdict.OK), (1.1, Verdict.WARNING), (30.0, Verdict.WARNING), (30.1, Verdict.FAULT)],
)
def test_clocks_that_differ(seconds: float, verdict: Verdict) -> None:
    assert clock("a clock", seconds).verdict is verdict


@pytest.mark.parametrize(
    ("used", "verdict"),
    [(0, Verdict.OK), (75, Verdict.OK), (76, Verdict.WARNING), (90, Verdict.WARNING), (91, Verdict.FAULT)],
)
def test_room_that_is_left(used: int, verdict: Verdict) -> None:
    assert headroom("a room", used, 100, "make room").verdict is verdict


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
    found = settings_checks.judge_binds({"INGEST_BIND": ingest, "CONSOLE_BIND": console})
    assert (("CONSOLE_BIND", Verdict.FAULT) in doubted(found)) is collide
