"""What is asked of the console: each page, filter and search, with and without matches, and the start of exports."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from app.storage.connection import Connection, fetch_one

GOAL_MS = 200.0
START, DELIVERIES = "console: start page", "console: page of deliveries"
EVERY = "console: every page and panel, by its median"
_NO_ID = "00000000-0000-0000-0000-000000000000"
# Of benchmarks/filling.sql: an application with a flag, a later revision, a duplicate and a decision; and its company.
_ENTITY = "SELECT receipt, entity_id, persons[1] AS person FROM kvitto.events WHERE receipt = %s"
_OLD = """
    SELECT receipt, received_at FROM kvitto.receipts
    WHERE provider = 'kompar' AND outcome = 'stored' ORDER BY receipt OFFSET %s LIMIT 1
"""
_MIDDLE = """
    SELECT receipt FROM kvitto.events WHERE received_at > now() - interval '180 days' AND revision = 2
    ORDER BY received_at LIMIT 1
"""
_LARGEST_JOB = "SELECT job FROM kvitto.operator_job_items GROUP BY job ORDER BY count(*) DESC LIMIT 1"


class Look(NamedTuple):
    """What is asked for, and the status of the answer. `searched` is entered in the search."""

    name: str
    path: str
    status: int = 200
    searched: str = ""
    is_export: bool = False


def looks(connection: Connection) -> list[Look]:
    """Return all that is measured, over a ledger that benchmarks/filling.sql filled."""
    connection.execute("SET statement_timeout = 0")
    middle = fetch_one(connection, _ENTITY, [fetch_one(connection, _MIDDLE).receipt])
    job = fetch_one(connection, _LARGEST_JOB).job
    return [*_lists(connection, middle), *_exports(), *_searches(middle), *_pages(connection, middle, job)]


def _listed(name: str, **filters: Any) -> Look:
    return Look(f"deliveries {name}", f"/deliveries?{urlencode(filters)}")


def _lists(connection: Connection, middle: Any) -> Iterator[Look]:
    oldest = fetch_one(connection, _OLD, [60])
    half = fetch_one(connection, "SELECT now() - interval '180 days' AS since, now() - interval '179 days' AS until")
    span = {"since": half.since.isoformat(), "until": half.until.isoformat()}
    yield _listed("newest")
    yield _listed("oldest page", before=oldest.receipt)
    yield _listed("of a day", **span)
    for provider in ("kompar", "solaris"):
        yield _listed(f"of {provider}", provider=provider)
    yield _listed("of no provider", provider="none")
    for topic in ("decisions", "none"):
        yield _listed(f"topic {topic}", topic=topic)
    for outcome in ("stored", "duplicate", "dead", "discarded"):
        yield _listed(outcome, outcome=outcome)
    for reason in ("wrong-key", "late-retry", "worker-crash"):
        yield _listed(f"reason {reason}", reason=reason)
    for name, flag in (
        ("frequent", "unknown-purpose"),
        ("rare", "ssn-checksum"),
        ("old", "duplicate-key"),
        ("unknown", "none"),
    ):
        yield _listed(f"{name} flag", flag=flag)
    yield _listed("of an entity", entity=middle.entity_id)
    yield _listed("of no entity", entity="none")
    yield _listed("of a person", person=middle.person)
    yield _listed("of no person", person=_NO_ID)
    company = fetch_one(
        connection, "SELECT company_key FROM kvitto.kompar_applications GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    yield _listed("of the largest company", company=company.company_key)
    yield _listed("of no company", company=_NO_ID)
    yield _listed("provider and outcome, none", provider="solaris", outcome="dead")
    yield _listed("provider and topic, none", provider="solaris", topic="decisions")
    yield _listed("outcome and reason", outcome="dead", reason="wrong-key")
    yield _listed("outcome and reason, none", outcome="stored", reason="wrong-key")
    yield _listed("group of dead letters", outcome="dead", provider="kompar", topic="applications", reason="invalid")
    yield _listed("outcome of a day", outcome="dead", **span)
    yield _listed("reason of a day", reason="wrong-key", **span)
    yield _listed("flag and provider", flag="unknown-purpose", provider="kompar")
    yield _listed("flag and provider, none", flag="unknown-purpose", provider="solaris")
    yield _listed("flag and topic", flag="company-id-checksum", topic="applications")
    yield _listed("flag and outcome, none", flag="unknown-purpose", outcome="duplicate")
    yield _listed("flag of a day", flag="unknown-purpose", **span)
    yield _listed("flag, oldest page", flag="unknown-purpose", before=oldest.receipt)
    yield _listed("flag and entity", flag="unknown-purpose", entity=middle.entity_id)
    yield _listed("entity and outcome", entity=middle.entity_id, outcome="duplicate")


def _exports() -> Iterator[Look]:
    for name, filters in (
        ("newest", {}),
        ("dead", {"outcome": "dead"}),
        ("frequent flag", {"flag": "unknown-purpose"}),
        ("provider", {"provider": "solaris"}),
    ):
        for form in ("csv", "json"):
            yield Look(f"start of {form}, {name}", f"/deliveries.{form}?{urlencode(filters)}", is_export=True)


def _searches(middle: Any) -> Iterator[Look]:
    yield Look("search a receipt", "/search", searched=str(middle.receipt))
    yield Look("search an entity", "/search", searched=middle.entity_id)
    yield Look("search nothing known", "/search", searched="nothing-known")
    yield Look("search a company", "/search", searched="556016-0680")
    yield Look("search a person", "/search", searched="19811218-9876")


def _pages(connection: Connection, middle: Any, job: Any) -> Iterator[Look]:
    yield Look("overview", "/")
    yield Look("a delivery", f"/deliveries/{middle.receipt}")
    dead = fetch_one(connection, "SELECT receipt FROM kvitto.dead_letters ORDER BY receipt DESC LIMIT 1")
    yield Look("a dead letter", f"/deliveries/{dead.receipt}")
    yield Look("no delivery", f"/deliveries/{_NO_ID}", 404)
    yield Look("an entity", f"/entities/kompar/{middle.entity_id}")
    yield Look("dead letters", "/dead-letters")
    yield Look("replays", "/jobs")
    yield Look("a replay of thousands", f"/jobs/{job}")
    for name in ("rejected", "providers", "audits", "drift", "feed", "log"):
        yield Look({"log": "access log", "feed": "feed consumers"}.get(name, name), f"/{name}")
    yield Look("access log, rare action", "/log?action=erasure")
    yield Look("access log, frequent action", "/log?action=login")
    yield Look("access log, unused action", "/log?action=export")
    yield Look("access log of a receipt", f"/log?receipt={middle.receipt}")
    yield Look("access log, oldest page", "/log?before=50")
    yield Look("metrics", "/metrics")
    yield Look("health", "/readyz")
