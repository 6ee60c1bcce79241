"""Months are removed and a person is erased by commands that are killed at random, while other parts crash."""

import json
import subprocess
import time
from random import Random
from signal import SIGKILL
from typing import Any

import httpx
import psycopg

from app.storage.connection import connect
from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.process_control import POSTGRES, WORKER, children, parent, send
from tests.support.ageing import EPOCH, fill, month
from tests.support.kvitto_process import command, run
from tests.support.servers import bare_environment, eventually

_EVENTS, _MONTHS = 6_000, 12
_PERSON = "19121212-1212"  # older than anybody in the load
_RECOVERY_SECONDS = 120.0


def _remove_and_erase(context: FaultContext) -> None:
    """Remove a month or more at a time, and erase the person at each turn. One month has another provider, too."""
    random, database = Random(context.name), context.kvitto.database
    with connect(database, "chaos") as owner:
        fill(owner, _EVENTS, _EVENTS // _MONTHS, _MONTHS)
        query = """
            INSERT INTO receipts (receipt, provider, topic, outcome, received_at, epoch, seq)
            VALUES (first_receipt(%s), 'solaris', 'kept', 'duplicate', %s, %s, 0)
        """
        owner.execute(query, [month(_MONTHS), month(_MONTHS), EPOCH])
    for turn in context.repeat(quick=3, full=4, every=0):  # each searches the whole ledger, twice
        receipt = _deliver(context, turn)
        limit = max(1, _MONTHS - 1 - 4 * turn)
        _killed(context, random, _ERASE, {})
        _killed(context, random, _APPLY, _limits(limit))
        send(SIGKILL, parent(context, POSTGRES) if turn % 3 == 1 else children(context, WORKER)[0])
        _finished(context, _ERASE, {})
        _finished(context, _APPLY, _limits(limit))
        _require_erased(context, receipt)
        _require_counts(context, limit)


_ERASE = ("erase", "--person", _PERSON, "--reason", "chaos", "--operator", "chaos")
_APPLY = ("retention", "apply", "--operator", "chaos")


def _limits(months: int) -> dict[str, str]:
    return {"RETENTION": f"kompar.contents={months},kompar.receipts={months}"}


def _killed(context: FaultContext, random: Random, line: tuple[str, ...], settings: dict[str, str]) -> None:
    """Start a command, and kill it after a random time."""
    whole, quiet = command("--data", str(context.kvitto.data), *line), subprocess.DEVNULL
    with subprocess.Popen(whole, env=bare_environment() | settings, stdout=quiet, stderr=quiet) as process:
        time.sleep(random.uniform(0.5, 3))
        process.kill()


def _finished(context: FaultContext, line: tuple[str, ...], settings: dict[str, str]) -> None:
    """Repeat a command until it succeeds: a server may not be back, or a table may be in use.

    One that was killed may have erased everything before.
    """
    said: list[str] = []

    def is_done() -> bool:
        done = run("--data", str(context.kvitto.data), *line, environment=settings)
        said[:] = [done.stdout, done.stderr]
        return done.returncode == 0 or done.stdout.startswith("nothing is held")

    try:
        eventually(is_done, f"{line[0]} succeeds", _RECOVERY_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}: {said}") from error


def _deliver(context: FaultContext, turn: int) -> str:
    """Deliver a decision about the person, past the load, whose every event stays."""
    body = json.dumps({"application_id": f"erased-{turn}", "accepted": True, "ssn": _PERSON})
    found: list[str] = []

    def is_accepted() -> bool:
        try:
            answer = context.kvitto.post("decisions", body)
        except httpx.HTTPError:
            return False
        found[:] = [answer.json()["receipt"]] if answer.status_code == 200 else []
        return bool(found)

    eventually(is_accepted, "a delivery about the person", _RECOVERY_SECONDS)
    return found[0]


def _require_erased(context: FaultContext, receipt: str) -> None:
    """Require a tombstone, whether the delivery waited or was stored when the person was erased."""
    row = context.kvitto.outcome(receipt)
    assert row["erased_at"] is not None, f"{receipt} is not erased"
    left = context.kvitto.rows("SELECT FROM kvitto.bodies WHERE receipt = %s", receipt)
    left += context.kvitto.rows("SELECT FROM kvitto.events WHERE receipt = %s AND content IS NOT NULL", receipt)
    assert not left, f"{receipt} is a tombstone with content"


def _require_counts(context: FaultContext, limit: int) -> None:
    """Require that everything older than the limit is gone, and that its counts were kept."""
    rows = _rows(context, "SELECT count(*) AS n FROM kvitto.receipts WHERE provider = 'kompar' AND epoch = %s", EPOCH)
    archived = _rows(context, "SELECT sum(entries) AS n FROM kvitto.archived_counts WHERE epoch = %s", EPOCH)
    counted = rows[0]["n"] + archived[0]["n"]
    assert counted == _EVENTS, f"{counted} of {_EVENTS} old receipts are accounted for"
    query = "SELECT FROM kvitto.events WHERE provider = 'kompar' AND received_at < %s"
    assert not _rows(context, query, month(limit)), "old events are left"
    kept = _rows(context, "SELECT FROM kvitto.receipts WHERE provider = 'solaris' AND topic = 'kept'")
    assert len(kept) == 1, "the receipt of the other provider is gone"


def _rows(context: FaultContext, query: str, *parameters: Any) -> list[dict[str, Any]]:
    found: list[list[dict[str, Any]]] = []

    def is_read() -> bool:
        try:
            found.append(context.kvitto.rows(query, *parameters))
        except psycopg.OperationalError:  # in recovery
            return False
        return True

    eventually(is_read, "the ledger answering", _RECOVERY_SECONDS)
    return found[-1]


FAULTS = [Fault("months removed, a person erased", _remove_and_erase)]
