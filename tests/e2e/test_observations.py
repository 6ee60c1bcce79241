"""What workers observe of deliveries reaches the views: arrivals, the expectation after them, schema drift."""

from typing import Any

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually


def test_a_delivery_is_an_arrival_and_what_no_schema_declares_is_drift(kvitto: Running) -> None:
    document = {"application_id": "observed", "accepted": True, "observed_key": {"inner": [1, "two"]}}
    receipt = kvitto.post("decisions", encrypt(document, KEY)).json()["receipt"]

    def drift() -> set[tuple[Any, ...]]:
        query = "SELECT path, json_type, receipt::text AS receipt FROM reporting.schema_drift"
        rows = kvitto.rows(f"{query} WHERE event_type = 'decisions' AND path LIKE 'observed_key%%'")
        return {tuple(row.values()) for row in rows}

    eventually(lambda: len(drift()) == 4, "what is undeclared", 60)
    paths = [("observed_key", "object"), ("observed_key.inner", "array")]
    paths += [("observed_key.inner[]", "number"), ("observed_key.inner[]", "string")]
    assert drift() == {(*path, receipt) for path in paths}

    def expects() -> bool:
        query = "SELECT topic FROM reporting.silence WHERE provider = 'kompar' AND NOT is_silent"
        return {row["topic"] for row in kvitto.rows(query)} >= {None, "decisions"}

    eventually(expects, "the scheduled look at how long the provider has been silent", 120)
