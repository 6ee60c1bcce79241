"""The oracle detects every manipulation of the ledger."""

from collections.abc import Iterator
from random import Random

import psycopg
import pytest
from uuid_utils.compat import uuid7

from tests.chaos.load import Load
from tests.chaos.oracle import Discrepancies, compare
from tests.chaos.scenarios import application
from tests.support.kvitto_process import Running, running


@pytest.fixture(scope="module")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Kvitto whose ledger is manipulated."""
    with running(tmp_path_factory.mktemp("oracle") / "data") as started:
        yield started


def discrepancies(kvitto: Running, name: str, *statements: str) -> Discrepancies:
    """Deliver an application twice, manipulate the ledger, compare. `%(entity)s` is the application's id."""
    first, entity = str(uuid7()), f"{name}/0"
    load = Load(kvitto.ingest, "oracle", name, rate=100)
    for _ in range(2):
        receipt = load.extra.deliver(application(Random(name), entity)).receipt
        assert receipt is not None
        kvitto.outcome(receipt)
    load.close()
    with psycopg.connect(kvitto.database) as connection:
        for statement in statements:
            changed = connection.execute(statement, {"entity": entity, "receipt": str(uuid7())})
            assert changed.rowcount > 0
    return compare(kvitto, load.attempts, first, name)


def test_compare_intact_ledger_finds_nothing(kvitto: Running) -> None:
    assert discrepancies(kvitto, "whole") == Discrepancies()


def test_compare_missing_receipt_is_lost(kvitto: Running) -> None:
    of_duplicate = "(SELECT receipt FROM kvitto.receipts WHERE entity_id = %(entity)s AND outcome = 'duplicate')"
    tables = ("events", "bodies", "receipts")
    found = discrepancies(
        kvitto, "receipt", *(f"DELETE FROM kvitto.{table} WHERE receipt IN {of_duplicate}" for table in tables)
    )
    assert (found.lost, found.doubled) == (1, 0)


def test_compare_missing_event_is_lost(kvitto: Running) -> None:
    found = discrepancies(kvitto, "effect", "DELETE FROM kvitto.events WHERE entity_id = %(entity)s")
    assert (found.lost, found.doubled) == (1, 0)


def test_compare_second_revision_is_doubled(kvitto: Running) -> None:
    found = discrepancies(
        kvitto,
        "twice",
        """
        UPDATE kvitto.events SET revision = 2, position = newest + 1, changed_at = received_at, change = 'corrected'
        FROM (SELECT max(position) AS newest FROM kvitto.events) AS feed
        WHERE entity_id = %(entity)s AND revision IS NULL
        """,
    )
    assert (found.lost, found.doubled) == (0, 1)


def test_compare_changed_value_is_wrong(kvitto: Running) -> None:
    found = discrepancies(
        kvitto, "value", "UPDATE kvitto.kompar_applications SET amount = 1 WHERE entity_id = %(entity)s"
    )
    assert found.wrong == ["kompar_applications value/0: differs in ['amount']"]


def test_compare_unsent_receipt_is_wrong(kvitto: Running) -> None:
    found = discrepancies(
        kvitto,
        "nobody",
        """
        INSERT INTO kvitto.receipts
        SELECT %(receipt)s::uuid, provider, topic, event_type, entity_id, outcome, reason, received_at, processed_at,
               epoch, seq
        FROM kvitto.receipts WHERE entity_id = %(entity)s AND outcome = 'duplicate'
        """,
    )
    assert found.wrong == ["1 in the ledger that were not sent"]
