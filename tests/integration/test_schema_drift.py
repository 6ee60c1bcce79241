"""Schema drift from drain to view: counted, reported once, bounded, and without what was there from the start."""

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.audit.problems import drift_problems
from app.crypto.digests import Fingerprints
from app.domain.delivery import Delivery, Payload, ReceivedDelivery, StreamId
from app.domain.outcome import ProcessedDelivery
from app.providers.kompar.events import Kompar
from app.storage import reports, schema_drift
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_ledger import START_MS
from tests.support.metrics import console_metrics
from workers.observations import Observations

KOMPAR = Kompar((("a", b"k" * 32),), Fingerprints(b"k" * 32))
LATER = 1000


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    found = Ledger(database, "kompar")
    yield found
    found.close()


def processed(number: int, **content: Any) -> ProcessedDelivery:
    position = StreamId(START_MS + number * 1000, 0)
    delivery = Delivery(UUID(int=number), "kompar", "applications", {}, b"sealed")
    event = KOMPAR.validate(Payload("applications", {}, {"application_id": f"id {number}"} | content))
    return ProcessedDelivery(ReceivedDelivery(delivery, position.received_at, UUID(int=0), position), event)


def newly_stored(ledger: Ledger, deliveries: Sequence[ProcessedDelivery]) -> list[ProcessedDelivery]:
    outcomes = ledger.store(deliveries)
    return [delivery for delivery in deliveries if delivery.receipt in outcomes]


def store(ledger: Ledger, *deliveries: ProcessedDelivery) -> None:
    observations = Observations(ledger)
    observations.add(newly_stored(ledger, deliveries))
    observations.record()


def install(ledger: Ledger, **content: Any) -> None:
    """Store the first events of the type."""
    store(ledger, *(processed(number, **content) for number in range(1, schema_drift.FIRST_EVENTS + 2)))


def drift(connection: Connection) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = connection.execute("SELECT * FROM reporting.schema_drift")
    return {(row.kind, row.path): (row.json_type, row.value, row.deliveries, row.known_since_install) for row in rows}


def test_drift_after_the_first_events_is_counted_and_logged_once(
    ledger: Ledger, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    install(ledger, channel="web")
    assert drift(connection) == {("key", "channel"): ("string", None, schema_drift.FIRST_EVENTS + 1, True)}
    store(ledger, processed(LATER, channel="web", color="red", amount="12", purpose="Köpa båt"))
    store(ledger, processed(LATER + 1, color="blue"), processed(LATER + 2, color=7))
    store(ledger, processed(LATER + 1, color="blue"))  # stored already: an acknowledgement was lost
    assert drift(connection) == {
        ("key", "channel"): ("string", None, schema_drift.FIRST_EVENTS + 2, True),
        ("key", "color"): ("string", None, 2, False),
        ("type", "color"): ("number", None, 1, False),
        ("type", "amount"): ("string", None, 1, False),
        ("value", "purpose"): ("string", "Köpa båt", 1, False),
    }
    (row,) = connection.execute("SELECT * FROM reporting.schema_drift WHERE path = 'color' AND json_type = 'string'")
    assert (row.first_received_at, row.last_received_at, row.receipt) == (at(LATER), at(LATER + 1), UUID(int=LATER + 1))
    found = [record for record in caplog.records if record.message == "schema_drift_found"]
    assert len(found) == 4
    assert {record.levelno for record in found} == {logging.WARNING}


def at(number: int) -> datetime:
    return StreamId(START_MS + number * 1000, 0).received_at


def test_drift_is_a_sentence_for_a_day_and_a_metric(database: str, ledger: Ledger, connection: Connection) -> None:
    install(ledger)
    store(ledger, *(processed(LATER + number, **{f"key_{'abcdefg'[number]}": 1}) for number in range(7)))
    rows = reports.schema_drift(connection)
    sentences = list(map(str, drift_problems(rows, at(LATER) + timedelta(hours=1))))
    assert "kompar: applications: new key key_g (number), in 1 deliveries (since 2026-11-22 12:16 UTC)." in sentences[0]
    assert (len(sentences), sentences[-1][:24]) == (6, "2 more changes of schema")
    assert list(drift_problems(rows, at(LATER) + timedelta(days=2))) == []
    connection.execute("INSERT INTO ingest_progress (provider, complete_until, pending) VALUES ('kompar', now(), 0)")
    served = console_metrics(database)
    assert 'kvitto_schema_drift_findings{provider="kompar"} 7.0' in served
    (last,) = re.findall(r'kvitto_last_schema_drift_timestamp_seconds{provider="kompar"} (\S+)', served)
    assert float(last) == at(LATER + 6).timestamp()


def test_rows_of_an_event_type_are_bounded_and_the_rest_is_counted(
    ledger: Ledger, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    install(ledger)
    letters = "abcdefghijklmnopqrstuvwxyz"
    keys = [f"{one}_{other}" for one in letters for other in letters][: schema_drift.MOST_ROWS + 3]
    store(ledger, *(processed(LATER + number, **{key: None}) for number, key in enumerate(keys)))
    rows = drift(connection)
    assert len(rows) == schema_drift.MOST_ROWS + 1
    assert rows["more", "*"] == ("any", None, 3, False)
    assert len(caplog.records) == len(rows)
    assert "so many changes" in str(next(drift_problems(reports.schema_drift(connection), at(LATER))))


def test_observations_that_cannot_be_recorded_delay_nothing_and_come_later(
    ledger: Ledger, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    observations = Observations(ledger)
    batch = [processed(1, color="red")]
    observations.add(newly_stored(ledger, batch))
    connection.execute("ALTER TABLE schema_drift RENAME TO elsewhere")
    observations.record()
    assert [record.message for record in caplog.records] == ["observations_failed"]
    connection.execute("ALTER TABLE elsewhere RENAME TO schema_drift")
    store(ledger, processed(2, color="red"))
    assert drift(connection) == {("key", "color"): ("string", None, 1, True)}
