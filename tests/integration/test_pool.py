"""Connections for threads that must finish by a deadline, on a slow network."""

from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest
from uuid_utils.compat import uuid7

from app.domain.delivery import Delivery
from app.errors import StoreUnavailableError
from app.storage import overflow
from app.storage.pool import Pool
from tests.support.slow_network import slow_network

SECONDS = 1.5


@pytest.mark.parametrize("knows_size", [True, False])
def test_a_large_delivery_has_the_time_that_its_size_needs(database: str, knows_size: bool) -> None:
    sealed = b"x" * 20_000_000  # 2.5 s on this network
    delivery = Delivery(uuid7(), "kompar", "decisions", {}, sealed)
    write = partial(overflow.append, delivery=delivery, not_before=datetime.now(UTC))
    with slow_network(database) as dsn, closing(Pool(dsn, "ingest", SECONDS)) as pool:
        pool.run(lambda connection: connection.execute("SELECT 1"))
        if knows_size:
            pool.run(write, len(sealed))
        else:
            with pytest.raises(StoreUnavailableError):
                pool.run(write)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT FROM kvitto.overflow WHERE receipt = %s", [delivery.receipt]).rowcount
    assert found == int(knows_size)
