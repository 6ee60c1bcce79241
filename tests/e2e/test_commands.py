"""The commands, as an operator runs them."""

import json
import re
import signal
import subprocess
from typing import Any

import httpx
import psycopg
import pytest

from app.inbox import client as server
from app.sandbox.kompar import encrypt
from config.redis_address import RedisAddress
from tests.support.kvitto_process import ROOT, SECRETS, Running, command, run
from tests.support.process_tree import stopped
from tests.support.providers.kompar_fixtures import KEY
from tests.support.servers import bare_environment, eventually

MIGRATIONS = list((ROOT / "app" / "storage" / "migrations").glob("*.sql"))
COMMANDS = [
    [],
    ["up"],
    ["demo"],
    ["ingest"],
    ["worker"],
    ["beat"],
    ["console"],
    ["migrate"],
    ["check"],
    ["health"],
    ["health", "worker"],
    ["health", "beat"],
    ["health", "ingest"],
    ["health", "console"],
    ["audit"],
    ["dead-letters"],
    ["dead-letters", "list"],
    ["dead-letters", "show"],
    ["dead-letters", "replay"],
    ["dead-letters", "discard"],
    ["export"],
    ["erase"],
    ["access-log"],
    ["deliveries"],
    ["deliveries", "suspected"],
    ["deliveries", "accept"],
    ["deliveries", "dismiss"],
    ["feed"],
    ["explain"],
    ["reveal"],
    ["reseal"],
    ["sql"],
    ["subscriptions"],
    ["subscriptions", "register"],
    ["subscriptions", "remove"],
    ["subscriptions", "list"],
    ["subscriptions", "verify"],
    ["sandbox"],
    ["sandbox", "serve"],
    ["sandbox", "send"],
    ["sandbox", "send", "kompar"],
    ["sandbox", "send", "solaris"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_an_example(arguments: list[str]) -> None:
    done = run(*arguments, "--help", environment={})
    assert done.returncode == 0
    assert "Example" in done.stdout


def test_migrate_applies_once(postgres_server: str) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE applied_once")
    environment = {"DATABASE_URL": postgres_server.replace("/postgres", "/applied_once"), "ROLE_PREFIX": "once"}
    done = run("migrate", environment=environment)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["applied"] * len(MIGRATIONS), done.stderr
    assert run("migrate", environment=environment).stdout == "nothing to apply\n"


def test_audit_with_a_missing_entry_reports_it_and_exits_1(empty_kvitto: Running) -> None:
    with stopped(*empty_kvitto.workers()), server.connect(RedisAddress.parse(empty_kvitto.redis)) as client:
        empty_kvitto.post("applications", encrypt({"application_id": "a"}, KEY))
        assert empty_kvitto.audit()["missing"] == 0
        ((entry, _),) = client.xrange("inbox:kompar")
        client.xdel("inbox:kompar", entry)
    assert empty_kvitto.audit()["missing"] == 1
    done = empty_kvitto.run("audit")
    assert done.returncode == 1
    assert "DOES NOT ADD UP: 1 missing (kompar 1); appended + overflowed must equal receipts" in done.stdout
    formula = "appended + overflowed = receipts + copies + in flight + accepted loss"
    assert formula in " ".join(empty_kvitto.run("audit", "--help").stdout.split())


def test_feed_follows_changes_as_they_come_until_ctrl_c(kvitto: Running) -> None:
    kvitto.outcome(kvitto.post("applications", encrypt({"application_id": "before"}, KEY)).json()["receipt"])
    (newest,) = kvitto.rows("SELECT position FROM kvitto.feed_positions WHERE provider = 'kompar'")
    line = command("--data", str(kvitto.data), "feed", "--provider", "kompar", "--json", "--follow")
    line += ["--from", str(newest["position"] - 1)]
    with subprocess.Popen(line, env=bare_environment(), stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["position"] == newest["position"]
        receipt = kvitto.post("applications", encrypt({"application_id": "followed"}, KEY)).json()["receipt"]
        change = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
    assert (change["receipt"], change["entity_id"], change["change"]) == (receipt, "followed", "new")


def test_dead_letters_are_listed_shown_and_replayed_once_the_key_is_added(kvitto: Running) -> None:
    key = "missing-key-missing-key-missing!"
    answer = kvitto.post("applications", encrypt({"application_id": "late", "ssn": "19811218-9876"}, key))
    receipt = answer.json()["receipt"]
    assert kvitto.outcome(receipt)["reason"] == "wrong-key"

    listed = json.loads(kvitto.run("dead-letters", "list", "--reason", "wrong-key", "--json").stdout)
    assert receipt in [letter["receipt"] for letter in listed]
    assert receipt in kvitto.run("dead-letters", "list").stdout
    assert json.loads(kvitto.run("dead-letters", "show", receipt, "--json").stdout)[0]["sealed_bytes"] > 100
    assert "no dead letter" in kvitto.run("dead-letters", "show", "00000000-0000-0000-0000-000000000000").stderr

    def replay(*arguments: str, keys: str) -> list[dict[str, Any]]:
        environment = kvitto.environment | {"KOMPAR_KEYS": keys}
        done = run("dead-letters", "replay", *arguments, "--json", environment=environment)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    added = f"{SECRETS['KOMPAR_KEYS']},added={key}"
    assert [each["outcome"] for each in replay(receipt, keys=SECRETS["KOMPAR_KEYS"])] == ["dead"]
    (would,) = replay(receipt, "--dry-run", keys=added)
    assert (would["outcome"], would["event_type"], would["entity_id"], would["revision"]) == (
        "stored", "applications", "late", 1,
    )  # fmt: skip
    assert kvitto.outcome(receipt)["outcome"] == "dead"
    became = {each["receipt"]: each["outcome"] for each in replay("--reason", "wrong-key", keys=added)}
    assert became[receipt] == "stored"
    assert kvitto.outcome(receipt)["outcome"] == "stored"
    assert replay(receipt, keys=added) == []
    (row,) = kvitto.rows("SELECT * FROM reporting.kompar_applications WHERE application_id = 'late'")
    assert row["extra"]["ssn"] == "19811218-****"
    assert kvitto.audit()["missing"] == 0


def test_audit_of_a_provider_without_a_folder_fails(kvitto: Running) -> None:
    done = run("audit", environment=kvitto.environment | {"PROVIDERS": "kompar,nobody"})
    assert done.returncode == 78
    assert "'nobody', which has no folder" in done.stderr


def test_audit_names_providers_that_it_leaves_out(kvitto: Running) -> None:
    kvitto.outcome(kvitto.post("decisions", '{"application_id": "left-out", "accepted": true}').json()["receipt"])
    done = run("audit", environment=kvitto.environment | {"PROVIDERS": "solaris"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == "not audited: kompar, of whom the ledger holds receipts; add to PROVIDERS\n"
    assert kvitto.run("audit").stderr == ""


def test_sql_shows_rows_and_changes_nothing(kvitto: Running) -> None:
    done = kvitto.run("sql", "SELECT 1 AS one, 'x%' AS text, NULL AS nothing")
    assert [line.split() for line in done.stdout.splitlines()] == [["one", "text", "nothing"], ["1", "x%", "-"]]
    assert json.loads(kvitto.run("sql", "SELECT 1 AS one, 1.5 AS more", "--json").stdout) == [{"one": 1, "more": 1.5}]
    assert kvitto.run("sql", "SELECT 1 WHERE false").stdout == "no rows\n"
    for statement, words in (
        ("DELETE FROM kvitto.receipts", "read-only transaction"),
        ("SELECT 1; DELETE FROM kvitto.receipts", "one statement at a time"),
        ("SELECT nothing", 'column "nothing" does not exist'),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 1/0", "division by zero"),
    ):
        done = kvitto.run("sql", statement)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr


def test_sandbox_without_a_receiver_reports_it() -> None:
    done = run("sandbox", "send", "kompar", "--url", "http://127.0.0.1:1", environment=SECRETS)
    assert done.returncode == 1
    assert "nothing answers" in done.stderr


def test_sandbox_sends_as_kompar(empty_kvitto: Running) -> None:
    done = empty_kvitto.run(
        "sandbox",
        "send",
        "kompar",
        "--applications",
        "8",
        "--decisions",
        "2",
        "--retried",
        "3",
        "--corrected",
        "2",
        "--undecryptable",
        "1",
    )
    assert done.returncode == 0, done.stderr
    assert "16 × 200" in done.stdout
    eventually(lambda: empty_kvitto.audit()["in_flight"] == 0, "nothing in flight")
    account = empty_kvitto.audit()
    assert (account["stored"], account["duplicate"], account["dead"]) == (12, 3, 1)


def test_console_shows_the_ledger_to_users_and_metrics_to_machines(kvitto: Running) -> None:
    password = (kvitto.data / "secrets" / "CONSOLE_PASSWORD").read_text()
    added = kvitto.run("users", "add", "ada", "--role", "viewer", "--operator", "root")
    form = {"name": "ada", "password": added.stdout.rpartition("password: ")[2].strip()}
    answer = kvitto.post("decisions", '{"application_id": "on-the-console", "accepted": true}')
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] in ("stored", "duplicate")  # a worker counts by now
    with httpx.Client(base_url=kvitto.console, timeout=20, follow_redirects=True) as http:
        assert "Log in" in http.get("/", auth=("any", password)).text
        assert "on-the-console" in http.post("/login", data=form | {"then": "/deliveries"}).text
    with httpx.Client(base_url=kvitto.console, timeout=20) as http:
        assert http.get("/metrics", auth=("any", "wrong")).status_code == 401
        metrics = http.get("/metrics", auth=("any", password)).text
    assert 'kvitto_ledger_receipts{outcome="stored",provider="kompar"}' in metrics


def test_every_process_serves_its_own_metrics(kvitto: Running) -> None:
    answer = kvitto.post("decisions", '{"application_id": "counted", "accepted": true}')
    assert kvitto.outcome(answer.json()["receipt"])["outcome"] in ("stored", "duplicate")
    counted = {
        "ingest": 'kvitto_webhook_requests_total{provider="kompar",reason="accepted",status="200"}',
        "worker-kompar": 'kvitto_processing_errors_total{cause="not-readable",provider="kompar"}',
        "worker-solaris": 'kvitto_receipt_to_row_seconds_count{provider="solaris"}',
        "beat": 'kvitto_canaries_sent_total{provider="kompar",status="200"}',
        "console": "kvitto_ledger_readable 1.0",
    }
    for service, series in counted.items():
        text = kvitto.metrics(service)
        assert series in text
        assert "kvitto_build_info{" in text
        assert 'process_resident_memory_bytes{process="main"}' in text
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for service in ("ingest", "worker-kompar"):
        credentials = kvitto.metrics(service)
        assert re.search(r'kvitto_credential_uses_total{credential="[^"]+",provider="kompar"} [1-9]', credentials)
        assert 'kvitto_credential_last_use_timestamp_seconds{credential="' in credentials
