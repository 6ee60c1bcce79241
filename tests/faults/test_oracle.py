"""The verdict finds what is amiss: a ledger that is tampered with does not pass."""

from collections.abc import Iterator
from random import Random

import psycopg
import pytest
from uuid_utils.compat import uuid7

from tests.faults.load import Load
from tests.faults.oracle import Verdict, judge
from tests.faults.scenarios import application
from tests.kvitto_process import Running, running


@pytest.fixture(scope="module")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Kvitto whose ledger is tampered with."""
    with running(tmp_path_factory.mktemp("verdict") / "data") as found:
        yield found


def judge_after(kvitto: Running, name: str, *tampering: str) -> Verdict:
    """Deliver an application twice, tamper with the ledger, judge. `%(entity)s` is the application's id."""
    first, entity = str(uuid7()), f"{name}/0"
    load = Load(kvitto.ingest, "verdict", name, rate=100)
    for _ in range(2):
        receipt = load.by_hand.deliver(application(Random(name), entity)).receipt
        assert receipt is not None
        kvitto.outcome(receipt)
    load.close()
    with psycopg.connect(kvitto.database) as connection:
        for statement in tampering:
            changed = connection.execute(statement, {"entity": entity, "receipt": str(uuid7())})
            assert changed.rowcount > 0
    return judge(kvitto, load.tries, first, name)


def test_a_whole_ledger_passes(kvitto: Running) -> None:
    assert judge_after(kvitto, "whole") == Verdict()


def test_a_receipt_that_is_missing_is_lost(kvitto: Running) -> None:
    of_duplicate = "(SELECT receipt FROM kvitto.receipts WHERE entity_id = %(entity)s AND outcome = 'duplicate')"
    tables = ("events", "bodies", "receipts")
    verdict = judge_after(
        kvitto, "receipt", *(f"DELETE FROM kvitto.{table} WHERE receipt IN {of_duplicate}" for table in tables)
    )
    assert (verdict.lost, verdict.doubled) == (1, 0)


def test_an_effect_that_is_missing_is_lost(kvitto: Running) -> None:
    verdict = judge_after(kvitto, "effect", "DELETE FROM kvitto.events WHERE entity_id = %(entity)s")
    assert (verdict.lost, verdict.doubled) == (1, 0)


def test_an_effect_that_is_there_twice_is_doubled(kvitto: Running) -> None:
    verdict = judge_after(
        kvitto, "twice", "UPDATE kvitto.events SET revision = 2 WHERE entity_id = %(entity)s AND revision IS NULL"
    )
    assert (verdict.lost, verdict.doubled) == (0, 1)


def test_a_value_that_was_not_sent_is_wrong(kvitto: Running) -> None:
    verdict = judge_after(
        kvitto, "value", "UPDATE kvitto.kompar_applications SET amount = 1 WHERE entity_id = %(entity)s"
    )
    assert verdict.wrong == ["kompar_applications value/0: differs in ['amount']"]


def test_a_receipt_that_nobody_sent_is_wrong(kvitto: Running) -> None:
    verdict = judge_after(
        kvitto,
        "nobody",
        """
        INSERT INTO kvitto.receipts
        SELECT %(receipt)s::uuid, provider, topic, event_type, entity_id, outcome, reason, received_at, processed_at,
               epoch, seq
        FROM kvitto.receipts WHERE entity_id = %(entity)s AND outcome = 'duplicate'
        """,
    )
    assert verdict.wrong == ["1 in the ledger that were not sent"]
