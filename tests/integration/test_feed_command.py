"""`kvitto feed`: what it prints, what it confirms, and what it refuses."""

import json
import subprocess
from contextlib import closing
from typing import Any

import pytest

from app.storage.connection import Connection
from app.storage.ledger import Ledger
from tests.integration.test_feed import HISTORY
from tests.integration.test_ledger import processed
from tests.support.kvitto_process import command, run
from tests.support.servers import bare_environment

CURSORS = "SELECT consumer, position FROM reporting.feed_consumers"


@pytest.fixture
def filled(database: str) -> str:
    """A ledger with three changes of Kompar's."""
    with closing(Ledger(database, "kompar")) as ledger:
        ledger.store(HISTORY)
    return database


def feed(database: str, *options: str, status: int = 0) -> str:
    done = run("feed", *options, environment={"DATABASE_URL": database})
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def read(database: str, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in feed(database, *options, "--json").splitlines()]


def test_feed_prints_changes_behind_a_position_a_line_each(filled: str) -> None:
    lines = feed(filled).splitlines()
    assert [line.split("  ")[:6] for line in lines] == [
        ["kompar", str(number), "new", "decisions", "a", str(number)] for number in (1, 2, 3)
    ]
    (last,) = read(filled, "--provider", "kompar", "--from", "2")
    assert (last["position"], last["content"]) == (3, {"application_id": "a", "phone": "1"})
    assert read(filled, "--provider", "solaris") == []


def test_feed_of_a_consumer_confirms_what_it_has_printed(filled: str, connection: Connection) -> None:
    consumer = filled.replace("//kvitto@", "//kvitto_consumer@")
    own = ("--consumer", "mailer", "--provider", "kompar")
    line, environment = command("feed", *own), bare_environment() | {"DATABASE_URL": consumer}
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as broken:
        assert broken.stdout is not None
        broken.stdout.close()  # its reader is gone before it prints
    assert broken.returncode == 1
    assert [tuple(row) for row in connection.execute(CURSORS)] == [("mailer", 0)]
    assert [row["position"] for row in read(consumer, *own)] == [1, 2, 3]
    assert read(consumer, *own) == []
    assert [tuple(row) for row in connection.execute(CURSORS)] == [("mailer", 3)]
    worker = filled.replace("//kvitto@", "//kvitto_worker@")
    assert "may not do this" in feed(worker, *own, status=78)
    assert feed(worker, "--forget", "mailer") == "forgot mailer, which read 1 feed\n"
    assert "no consumer is named mailer" in feed(worker, "--forget", "mailer", status=1)


def test_feed_follows_on_where_it_was_after_its_session_was_lost(filled: str, connection: Connection) -> None:
    line = command("feed", "--provider", "kompar", "--json", "--follow")
    environment, pipe = bare_environment() | {"DATABASE_URL": filled}, subprocess.PIPE
    with subprocess.Popen(line, env=environment, stdout=pipe, stderr=pipe, text=True) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        positions = [json.loads(following.stdout.readline())["position"] for _ in range(3)]
        connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'kvitto-feed' AND datname = current_database()
            """
        )
        assert following.stderr.readline().endswith("trying again\n")
        with closing(Ledger(filled, "kompar")) as ledger:
            ledger.store([processed(5, 30, {"application_id": "b"})])
        positions.append(json.loads(following.stdout.readline())["position"])
        following.terminate()
    assert positions == [1, 2, 3, 4]


def test_feed_with_wrong_options_says_what_to_do(filled: str) -> None:
    assert "--from needs --provider" in feed(filled, "--from", "3", status=2)
    assert "--consumer needs --provider" in feed(filled, "--consumer", "a", status=2)
    assert "goes without --from" in feed(filled, "--consumer", "a", "--provider", "kompar", "--from", "1", status=2)
    assert "--forget goes without other options" in feed(filled, "--forget", "a", "--follow", status=2)
    assert "write it like scoring" in feed(filled, "--consumer", "A b", "--provider", "kompar", status=1)
    assert "no worker has served provider solaris" in feed(filled, "--consumer", "a", "--provider", "solaris", status=1)
