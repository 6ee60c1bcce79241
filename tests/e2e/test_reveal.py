"""One sealed body opened, and noted."""

import json

import psycopg
import pytest

from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import Running
from tests.support.providers.kompar_fixtures import KEY

DOCUMENT = {"application_id": "revealed", "name": "Göran Person", "ssn": "19811218-9876"}


@pytest.fixture(scope="module")
def receipt(kvitto: Running) -> str:
    found: str = kvitto.post("applications", encrypt(DOCUMENT, KEY)).json()["receipt"]
    kvitto.outcome(found)
    return found


def reveals(kvitto: Running, receipt: str) -> list[tuple[str, str]]:
    rows = kvitto.rows(
        "SELECT reason, operator FROM reporting.access_log WHERE receipt = %s AND action = 'reveal'", receipt
    )
    return [(row["reason"], row["operator"]) for row in rows]


def test_reveal_shows_the_clear_body_and_records_the_access(kvitto: Running, receipt: str) -> None:
    done = kvitto.run("reveal", receipt, "--reason", "complaint 4711")
    assert json.loads(done.stdout) == DOCUMENT
    assert [reason for reason, _ in reveals(kvitto, receipt)] == ["complaint 4711"]
    assert all(operator for _, operator in reveals(kvitto, receipt))


def test_reveal_raw_shows_the_received_body(kvitto: Running) -> None:
    body = b"neither JSON nor an envelope"
    receipt = kvitto.post("applications", body).json()["receipt"]
    assert kvitto.outcome(receipt)["outcome"] == "dead"
    refused = kvitto.run("reveal", receipt, "--reason", "why is it dead")
    assert refused.returncode == 1
    assert "--raw" in refused.stderr
    assert kvitto.run("reveal", receipt, "--reason", "why is it dead", "--raw").stdout.encode() == body
    assert len(reveals(kvitto, receipt)) == 2


@pytest.mark.parametrize("reason", [" ", "about 19811218-9876"])
def test_reveal_requires_a_reason_without_personal_data(kvitto: Running, receipt: str, reason: str) -> None:
    before = reveals(kvitto, receipt)
    done = kvitto.run("reveal", receipt, "--reason", reason)
    assert done.returncode == 2
    assert "9876" not in done.stdout + done.stderr
    assert reveals(kvitto, receipt) == before


def test_reveal_of_an_unknown_receipt_fails(kvitto: Running) -> None:
    done = kvitto.run("reveal", "00000000-0000-0000-0000-000000000000", "--reason", "a typing error")
    assert done.returncode == 1
    assert "no receipt" in done.stderr


def test_worker_role_can_reveal_but_not_delete_the_record(kvitto: Running, receipt: str) -> None:
    worker = kvitto.database.replace("//kvitto@", "//kvitto_worker@")
    with psycopg.connect(worker, autocommit=True) as connection:
        add = "INSERT INTO kvitto.access_log (action, receipt, reason, operator) VALUES ('reveal', %s, 'by hand', 'me')"
        connection.execute(add, [receipt])
        for undo in ("DELETE FROM kvitto.access_log", "UPDATE kvitto.access_log SET reason = 'none'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(undo)
    assert ("by hand", "me") in reveals(kvitto, receipt)
