"""A consumer of the feed, killed at random during replays and crashes of Postgres: each change is taken once."""

import contextlib
import json
from dataclasses import replace
from functools import partial
from random import Random
from signal import SIGKILL

import psycopg

from app.sandbox.kompar import KomparHook
from tests.chaos.fault_context import Fault, FaultContext
from tests.chaos.process_control import POSTGRES, parent, send
from tests.chaos.scenarios import application
from tests.support import consuming
from tests.support.kvitto_process import SECRETS, run
from tests.support.servers import eventually

_PROVIDER = "kompar"
_ADDED_KEY = "added-key-added-key-added-key-32"
_RECOVERY_SECONDS = 60.0


def _kill_consumer(context: FaultContext) -> None:
    """Kill it after random times; meanwhile an older version of an application is replayed, or Postgres crashes."""
    random, database = Random(context.name), context.kvitto.database
    with consuming.schema(database):
        start = _newest(context)  # of the whole run's events, taking those before would last for minutes
        consuming.skip(database, _PROVIDER, start)
        for turn in context.repeat(quick=3, full=12, every=0):
            with consuming.running(database, _PROVIDER):
                if turn % 3 == 1:
                    send(SIGKILL, parent(context, POSTGRES))
                else:
                    _replay_older(context, random, f"{context.name}/replayed-{turn}")
                context.hold(random.uniform(0, 1), random.uniform(0, 5))
        with consuming.running(database, _PROVIDER):
            before = _newest(context)
            confirmed = partial(consuming.confirmed, database, _PROVIDER)
            eventually(lambda: confirmed() >= before, "all changes confirmed", _RECOVERY_SECONDS)
        found = consuming.compare(database, _PROVIDER, start)
        wrong = {name: count for name, count in found.items() if name != "confirmed" and count}
        assert not wrong, f"the consumer's changes: {wrong}"


def _replay_older(context: FaultContext, random: Random, entity: str) -> None:
    """Deliver a version under a key that is not known, then another, and replay the first: both revisions change."""
    older = application(random, entity, amount=1)
    assert isinstance(older.hook, KomparHook)
    attempt = context.load.extra.deliver(replace(older, hook=replace(older.hook, key=_ADDED_KEY)))
    context.load.extra.deliver(
        replace(older, event=replace(older.event, document={**older.event.document, "amount": 2}))
    )
    keys = {"KOMPAR_KEYS": f"{SECRETS['KOMPAR_KEYS']},added={_ADDED_KEY}"}

    def is_replayed() -> bool:
        line = ("dead-letters", "replay", str(attempt.receipt), "--json")
        done = run(*line, environment=context.kvitto.environment | keys)
        with contextlib.suppress(ValueError):  # it is no dead letter yet, or Postgres is not back
            return any(row["outcome"] == "stored" for row in json.loads(done.stdout))
        return False

    eventually(is_replayed, "the older version replayed", _RECOVERY_SECONDS)


def _newest(context: FaultContext) -> int:
    found: list[int] = []

    def is_read() -> bool:
        with contextlib.suppress(psycopg.OperationalError):  # in recovery
            query = "SELECT position FROM kvitto.feed_positions WHERE provider = %s"
            found[:] = [row["position"] for row in context.kvitto.rows(query, _PROVIDER)]
        return bool(found)

    eventually(is_read, "the feed's newest position", _RECOVERY_SECONDS)
    return found[0]


FAULTS = [Fault("consumer of the feed killed", _kill_consumer)]
