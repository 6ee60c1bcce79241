"""A dead letter that can never be taken in is discarded: it counts apart, and is no problem any more."""

import base64
import re
from uuid import UUID

import pytest

from app.storage import reports
from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_console import page
from tests.integration.test_ledger import processed
from tests.support.kvitto_process import run

KEY = base64.b64encode(b"k" * 32).decode()
LETTERS = (1, 2)


@pytest.fixture
def environment(database: str) -> dict[str, str]:
    """The settings of an operator in the worker's role, with two dead letters and an event in the ledger."""
    ledger = Ledger(database, "kompar")
    ledger.store([*(processed(number, number, None) for number in LETTERS), processed(3, 3, {"application_id": "a"})])
    ledger.close()
    worker = database.replace("//kvitto@", "//kvitto_worker@")
    return {
        "DATABASE_URL": worker, "REDIS_URL": "redis://127.0.0.1:1", "PROVIDERS": "kompar", "KVITTO_OPERATOR": "Grace",
        "SEALING_KEYS": f"a={KEY}", "FINGERPRINT_KEY": KEY, "KOMPAR_KEYS": "a=" + "k" * 32,
    }  # fmt: skip


def logged(connection: Connection) -> list[tuple[str, str, str, str | None, UUID]]:
    query = "SELECT action, operator, role, reason, receipt FROM reporting.access_log ORDER BY number"
    return list(map(tuple, connection.execute(query)))


def counts(connection: Connection) -> tuple[int, int]:
    (row,) = reports.delivery_counts(connection)
    return row["dead"], row["discarded"]


@pytest.mark.parametrize(
    ("selection", "number"),
    [
        ([str(UUID(int=1))], 1),
        (["--reason", "wrong-key"], 2),
        (["--provider", "solaris"], 0),
        (["--reason", "invalid"], 0),
    ],
    ids=["receipt", "reason", "provider", "another reason"],
)
def test_discard_counts_letters_apart_and_records_who_did_it(
    environment: dict[str, str], connection: Connection, database: str, selection: list[str], number: int
) -> None:
    done = run("dead-letters", "discard", *selection, "--why", "sent again", environment=environment)
    assert (done.returncode, done.stdout) == (0, f"discarded: {number}\n"), done.stderr
    assert counts(connection) == (2 - number, number)
    discarded = [UUID(int=each) for each in LETTERS[:number]]
    assert logged(connection) == [("discard", "Grace", "kvitto_worker", "sent again", each) for each in discarded]
    assert connection.execute("SELECT FROM bodies").rowcount == 3
    assert bool(re.search("waits? as (a )?dead letter", page(database))) == (number < 2)
    left = run("dead-letters", "list", environment=environment).stdout
    assert [str(UUID(int=each)) in left for each in LETTERS] == [each > number for each in LETTERS]


def test_discarded_letter_is_discarded_once_and_shown(environment: dict[str, str]) -> None:
    line = ("dead-letters", "discard", str(UUID(int=1)), "--why", "sent again")
    run(*line, environment=environment)
    again = run(*line, environment=environment)
    assert (again.returncode, "is no dead letter any more" in again.stderr) == (1, True)
    shown = run("dead-letters", "show", str(UUID(int=1)), environment=environment).stdout
    assert "discarded_at" in shown
    assert "wrong-key" in shown


def test_replay_by_name_takes_a_discard_back(environment: dict[str, str], connection: Connection) -> None:
    run("dead-letters", "discard", "--reason", "wrong-key", "--why", "sent again", environment=environment)
    everything = run("dead-letters", "replay", "--all", environment=environment)
    assert everything.stdout == "no dead letters to replay\n", everything.stderr
    done = run("dead-letters", "replay", str(UUID(int=1)), "--why", "a mistake", environment=environment)
    assert "became: 1 dead" in done.stdout, done.stderr
    assert counts(connection) == (1, 1)
    assert logged(connection)[2:] == [("replay", "Grace", "kvitto_worker", "a mistake", UUID(int=1))]


def test_dry_run_of_a_replay_is_not_recorded(environment: dict[str, str], connection: Connection) -> None:
    run("dead-letters", "replay", "--all", "--dry-run", environment=environment)
    assert logged(connection) == []
