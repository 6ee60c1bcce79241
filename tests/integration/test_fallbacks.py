"""What works round a failed server for more than 30 s is reported everywhere that an operator looks."""

from app.console.problem_finder import ProblemFinder
from app.storage import fallbacks
from app.storage.connection import Connection
from tests.support.kvitto_process import run
from tests.support.metrics import console_metrics, console_settings


def age(connection: Connection, seconds: int) -> None:
    """Have all fallbacks begun so long ago."""
    connection.execute("UPDATE fallbacks SET since = since - make_interval(secs => %s)", [seconds])


def test_fallback_of_more_than_half_a_minute_is_a_problem_of_the_console_and_a_metric(
    connection: Connection, database: str
) -> None:
    fallbacks.record(connection, "ingest", ["kompar", "solaris"], "redis-unreachable")
    assert fallbacks.current(connection) == []
    age(connection, 70)
    fallbacks.record(connection, "ingest", ["kompar"], "redis-not-primary")
    fallbacks.record(connection, "ingest", ["solaris"], "redis-full")
    found = ProblemFinder(console_settings(database)).find(connection, dict)
    full, other = sorted((each for each in found if each.kind == "fallback"), key=str, reverse=True)
    assert str(other).startswith(
        "kompar: ingest has stored deliveries in Postgres for 70 s (redis-not-primary) (since "
    )
    assert "kvitto check" in other.hint
    assert "raise its maxmemory" in full.hint
    series = 'kvitto_fallback_seconds{process="ingest",provider="kompar",reason="redis-not-primary"} 7'
    assert series in console_metrics(database)


def test_fallback_that_is_over_for_a_minute_begins_again(connection: Connection) -> None:
    fallbacks.record(connection, "worker", ["kompar"], "no-consumer")
    connection.execute("UPDATE fallbacks SET since = since - interval '1 h', last_at = last_at - interval '61 s'")
    assert fallbacks.current(connection, 0) == []
    fallbacks.record(connection, "worker", ["kompar"], "no-consumer")
    (found,) = fallbacks.current(connection, 0)
    assert found.seconds < 3600  # it is another one than that of an hour ago


def test_fallback_of_a_worker_is_reported_by_its_health(
    connection: Connection, database: str, valkey_server: str
) -> None:
    fallbacks.record(connection, "worker", ["kompar"], "no-consumer")
    age(connection, 70)
    fallbacks.record(connection, "worker", ["kompar"], "no-consumer")
    environment = {"DATABASE_URL": database, "REDIS_URL": valkey_server}
    done = run("health", "worker", "--provider", "kompar", environment=environment)
    assert done.returncode == 0  # a restart does not help
    assert "kompar: worker has drained without wake-ups for 7" in done.stdout
    done = run("health", "worker", "--provider", "solaris", environment=environment)
    assert "wake-ups" not in done.stdout
