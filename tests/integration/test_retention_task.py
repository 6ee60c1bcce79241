"""A worker's run of retention makes partitions, and removes dead consumers and what is older than its limit."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from app.storage import partitions
from app.storage.connection import Connection
from tests.support.ageing import fill, month
from tests.support.erasing import Kvitto
from workers import retention_task

ALL, OLDEST, MONTHS = 40, 10, 3


def consumers(redis: Redis) -> list[bytes]:
    return [each["name"] for each in redis.xinfo_consumers("inbox:kompar", "workers")]


def test_run_makes_partitions_and_removes_dead_consumers_and_old_rows(
    redis: Redis, database: str, connection: Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kvitto = Kvitto(redis, database.replace("//kvitto@", "//kvitto_worker@"), connection, tmp_path)
    fill(connection, ALL, OLDEST, MONTHS)
    (_, last_month, _) = partitions.state(connection)
    for table in ("receipts", "bodies", "answers"):
        connection.execute(f"DROP TABLE {table}_{last_month:%Y_%m}".encode())
    kvitto.append({"application_id": "A-1"})
    kvitto.inbox.acknowledge(kvitto.inbox.claim("a worker that is gone"))
    assert len(consumers(redis)) == 1

    limits = {"kompar": {"contents": MONTHS - 1, "receipts": MONTHS - 1}}
    retention_task.run(kvitto.consumer, limits)
    assert partitions.state(connection)[1] == last_month
    assert len(consumers(redis)) == 1  # it was there a moment ago
    for table in ("receipts", "events"):
        query = f"SELECT count(*) AS rows, min(received_at) AS first_at FROM {table}"
        (row,) = connection.execute(query.encode())
        assert (row.rows, row.first_at >= month(MONTHS - 1)) == (ALL - OLDEST, True)
    logged = [vars(each) for each in caplog.records if each.message == "retention_removed"]
    removed = {(each["kind"], each["rows"]) for each in logged if each["rows"]}
    assert removed == {(f"receipts of {month(MONTHS):%Y-%m}", OLDEST), ("contents", OLDEST)}

    retention_task.run(kvitto.consumer, limits, dead_after=timedelta(0))
    assert consumers(redis) == []
    kvitto.ledger.close()
    kvitto.slot.release()
