"""The consumer of docs/consuming.md, killed at random while deliveries come in any order: each change exactly once."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest

from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_ledger import processed
from tests.support import consuming
from tests.support.servers import eventually

RIGHT = {"doubled": 0, "unconfirmed": 0, "missed": 0}


@pytest.fixture
def scored(database: str) -> Iterator[str]:
    """A database with the schema of the page."""
    with consuming.schema(database):
        yield database


def newest(connection: Connection) -> int:
    (row,) = connection.execute("SELECT position FROM feed_positions WHERE provider = 'kompar'")
    return int(row.position)


def test_consumer_of_the_page_that_is_killed_takes_each_change_exactly_once(
    scored: str, connection: Connection
) -> None:
    random = Random(2)
    batches = [
        [processed(10 * number + each, random.randint(0, 900), {"application_id": str(each), "phone": str(number % 3)})]
        for number in range(1, 21)
        for each in range(5)
    ]
    random.shuffle(batches)

    def store() -> None:
        with closing(Ledger(scored, "kompar")) as ledger:
            for batch in batches:
                ledger.store(batch)

    with closing(Ledger(scored, "kompar")) as ledger:
        ledger.store(batches.pop())
    load = threading.Thread(target=store)
    load.start()
    while load.is_alive():
        with consuming.running(scored, "kompar"):
            time.sleep(random.uniform(0, 1))  # it is killed wherever it is then
        assert consuming.compare(scored, "kompar").items() >= RIGHT.items()
    with consuming.running(scored, "kompar"):
        eventually(lambda: consuming.compare(scored, "kompar")["confirmed"] == newest(connection), "all confirmed")
    assert consuming.compare(scored, "kompar").items() >= RIGHT.items()
