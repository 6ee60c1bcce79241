"""A person is erased from a Kvitto under load: no table, log, append-only file or data folder shows one afterwards."""

import json
import re
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from app.local.file_search import files_with
from app.sandbox.kompar import encrypt
from tests.support.kvitto_process import ROOT, Running, run
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import eventually

PERSON = "19811218-9876"
APPLICATION = "c1f0e-of-the-person"
DOCUMENT = {"application_id": APPLICATION, "name": "Zacharias Quist", "ssn": PERSON, "amount": 100_000}
SHOWN = re.compile(rb"c1f0e-of-the-person|Zacharias Quist|811218-?9876")


def erase(kvitto: Running, *arguments: str, status: int = 0) -> dict[str, Any]:
    line = ("--data", str(kvitto.data), "erase", *arguments, "--reason", "request 4711", "--json")
    done = run(*line, environment={}, seconds=300)
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def deliver(kvitto: Running) -> list[str]:
    """Deliver what names the person: an application, a decision, a guarantee, and two dead letters."""
    bodies: list[tuple[str, str | bytes]] = [
        ("applications", encrypt(DOCUMENT, KEY)),
        ("decisions", json.dumps({"application_id": APPLICATION, "accepted": True, "phone": "0701234567"})),
        ("applications", encrypt({"application_id": "c1f0f", "guarantors": [{"ssn": "8112189876"}]}, KEY)),
        ("decisions", json.dumps({"accepted": True, "note": f"of {PERSON}"})),
        ("applications", b'{"ssn": "811218 98 76", "cut'),
    ]
    receipts = [kvitto.post(topic, body).json()["receipt"] for topic, body in bodies]
    for receipt in receipts:
        kvitto.outcome(receipt)
    return receipts


def alone(record: Path) -> dict[str, Any]:
    """Return an accepted attempt about an id that no other event type has."""
    attempts = [json.loads(line) for line in record.read_text().splitlines()]
    types: dict[str, set[str]] = defaultdict(set)
    for attempt in attempts:
        types[attempt["entity_id"]].add(attempt["event_type"])
    return next(each for each in attempts if each["status"] == 200 and len(types[each["entity_id"]]) == 1)


def statements() -> list[str]:
    """Return the SQL by which operations.md removes what Postgres keeps of deleted rows."""
    section = (ROOT / "docs" / "operations.md").read_text().partition("### Erase a person")[2].partition("\n### ")[0]
    (block,) = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    return [line.strip() for line in re.sub("--.*", "", block).split(";") if line.strip()]


def clean_up(kvitto: Running) -> None:
    """Have both servers remove what they keep of deleted rows, as operations.md says."""
    *once, switch, checkpoint = statements()
    with psycopg.connect(kvitto.database, autocommit=True) as connection:
        (began_at,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
        for statement in once:
            connection.execute(statement.encode())
        older = True
        while older:
            connection.execute(switch.encode())
            connection.execute(checkpoint.encode())
            older = bool(connection.execute("SELECT FROM pg_ls_waldir() WHERE modification < %s", [began_at]).rowcount)
    with Redis.from_url(kvitto.redis) as client:
        info: Any = client.info
        eventually(lambda: not info("persistence")["aof_rewrite_in_progress"], "the append-only file is written again")


def test_erased_person_is_nowhere_while_load_runs(empty_kvitto: Running, tmp_path: Path) -> None:
    kvitto = empty_kvitto
    record = tmp_path / "attempts.jsonl"
    load = ("sandbox", "send", "--rate", "20/s", "--duration", "5s", "--record", str(record))
    sender = threading.Thread(target=kvitto.run, args=load)
    sender.start()
    eventually(lambda: record.exists() and len(record.read_text().splitlines()) > 5, "the first attempts")
    receipts = deliver(kvitto)

    planned = erase(kvitto, "--person", PERSON, "--dry-run")
    assert {row["id"] for row in planned["held"]} == {APPLICATION, "c1f0f", None}
    assert kvitto.rows("SELECT FROM reporting.deliveries WHERE erased_at IS NOT NULL") == []
    done = erase(kvitto, "--person", PERSON, "--files", str(kvitto.data / "logs"))
    assert (done["held"], done["left"]) == (planned["held"], [])
    erased = kvitto.rows("SELECT receipt::text, outcome FROM reporting.deliveries WHERE erased_at IS NOT NULL")
    assert {row["receipt"]: row["outcome"] for row in erased} == dict(
        zip(receipts, ["stored"] * 3 + ["discarded"] * 2, strict=True)
    )
    for command in (["explain"], ["reveal", "--reason", "case 4711"], ["dead-letters", "replay"]):
        refused = kvitto.run(*command, receipts[3])
        assert (refused.returncode, "was erased on 20" in refused.stderr) == (1, True), refused.stderr
    assert "was erased on 20" in kvitto.run("dead-letters", "show", receipts[3]).stdout
    retry = kvitto.post("applications", encrypt(DOCUMENT, KEY)).json()["receipt"]
    assert (kvitto.outcome(retry)["outcome"], kvitto.outcome(retry)["reason"]) == ("duplicate", "erased")
    closed = kvitto.post("applications", encrypt(DOCUMENT, "u" * 32)).json()["receipt"]
    kvitto.outcome(closed)
    (held,) = erase(kvitto, "--receipt", closed)["held"]
    assert (held["held_as"], held["receipts"]) == ("receipts in the ledger", 1)
    assert (kvitto.outcome(closed)["outcome"], kvitto.outcome(closed)["reason"]) == ("discarded", "wrong-key")

    sender.join()
    attempt = alone(record)
    kvitto.outcome(attempt["receipt"])
    refused = kvitto.run("erase", "--receipt", attempt["receipt"], "--reason", "request 4711")
    assert (refused.returncode, "erase all of its entity with --entity" in refused.stderr) == (1, True), refused.stderr
    erase(kvitto, "--entity", f"{attempt['provider']}/{attempt['event_type']}/{attempt['entity_id']}")
    compared = kvitto.run("audit", "--against", str(record), "--json")
    assert compared.returncode == 0, compared.stdout
    assert kvitto.audit()["missing"] == 0
    log = kvitto.run("access-log", "--action", "erasure", "--json")
    assert {(row["provider"], row["reason"]) for row in json.loads(log.stdout)} == {
        ("kompar", "request 4711"), ("solaris", "request 4711")
    }  # fmt: skip
    assert not SHOWN.search(log.stdout.encode())

    clean_up(kvitto)
    assert [str(path) for path in files_with(kvitto.data, SHOWN)] == []
