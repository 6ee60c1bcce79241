"""Finds deliveries: a page at a time, newest first, and never by reading all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.sql import SQL, Composed

from app.storage.connection import Connection, fetch_one

# So many receipts one page looks at, and so many it shows.
LOOKED_AT, PAGE = 10_000, 50
# A download holds no more rows, so many of them at a time, and looks at no more pages.
_MOST_ROWS, _ROWS_AT_ONCE, _MOST_PAGES = 10_000, 1_000, 100
_LAST = UUID(int=2**128 - 1)
# Conditions of which each names few receipts.
_FEW = {
    "entity": SQL("receipt = ANY(ARRAY(SELECT receipts_of_entity(%(entity)s)))"),
    "person": SQL("receipt = ANY(ARRAY(SELECT receipt FROM events WHERE persons @> ARRAY[%(person)s::uuid]))"),
    "company": SQL("receipt = ANY(ARRAY(SELECT receipts_of_company(%(company)s)))"),
}
# Conditions that an index answers in the order of receipts. With those above they narrow down what is looked at.
_IN_ORDER = {"outcome": SQL("outcome = %(outcome)s"), "reason": SQL('reason COLLATE "C" = %(reason)s')}
# Conditions that are tried on each receipt that is looked at.
_TRIED = {
    "provider": SQL("provider = %(provider)s"),
    "topic": SQL("topic = %(topic)s"),
    # Not EXISTS, which Postgres may answer by a scan of all events.
    "flag": SQL("(SELECT %(flag)s = ANY(flags) FROM events WHERE events.receipt = looked_at.receipt)"),
}
_COLUMNS = SQL("receipt, provider, topic, event_type, entity_id, outcome, reason, received_at")
_LOOKED_AT = SQL("""
    looked_at AS MATERIALIZED (
        SELECT {columns} FROM reporting.deliveries
        WHERE receipt < %(before)s AND receipt >= %(first)s {narrow} ORDER BY receipt DESC LIMIT {most}
    ), matching AS MATERIALIZED (SELECT * FROM looked_at WHERE true {tried})
""")
# Where a flag is all that narrows down: an index alone says which of the flagged events have it. OFFSET keeps each of
# their receipts a look at one index of one month, whatever the planner knows of flags.
_FLAGGED = SQL("""
    looked_at AS MATERIALIZED (
        SELECT receipt, %(flag)s = ANY(flags) AS is_flagged FROM events
        WHERE flags <> '{{}}' AND receipt < %(before)s AND receipt >= %(first)s ORDER BY receipt DESC LIMIT {most}
    ), matching AS MATERIALIZED (
        SELECT found.* FROM looked_at CROSS JOIN LATERAL (
            SELECT {columns} FROM reporting.deliveries WHERE deliveries.receipt = looked_at.receipt OFFSET 0
        ) AS found
        WHERE is_flagged {tried}
    )
""")
_SELECT = SQL("""
    WITH {found}, summary AS (
        SELECT (SELECT count(*) FROM looked_at) AS looked_at, (SELECT count(*) FROM matching) AS matching,
               (SELECT receipt FROM looked_at ORDER BY receipt LIMIT 1) AS last
    )
    SELECT summary.looked_at, summary.matching, summary.last, page.* FROM summary LEFT JOIN (
        SELECT shown.*, revision, flags
        FROM (SELECT * FROM matching ORDER BY receipt DESC LIMIT {rows}) AS shown LEFT JOIN events USING (receipt)
    ) AS page ON true ORDER BY receipt DESC
""")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries to find; None finds all. `person` and `company` are pseudonyms, `before` is the page's place."""

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    topic: str | None = None
    outcome: str | None = None
    reason: str | None = None
    flag: str | None = None
    entity: str | None = None
    person: str | None = None
    company: str | None = None
    before: UUID | None = None


class Found(NamedTuple):
    """A page of deliveries.

    matching: how many there are, among the `looked_at` newest. further: where the next page begins; None at the end.
    is_all: whether all receipts were looked at, so that `matching` is the number of all.
    """

    rows: list[dict[str, Any]]
    looked_at: int
    matching: int
    further: UUID | None
    is_all: bool


class SealedBody(NamedTuple):
    """What is known of a sealed body without opening it."""

    key_id: str
    size: int
    headers: dict[str, str]


def first_receipt(instant: datetime) -> UUID:
    """Return the least receipt id of an instant: its first 48 bits are milliseconds."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)


def statement(wanted: Filter, rows: int) -> tuple[Composed, dict[str, Any]]:
    """Return the query of a page, and its parameters."""
    until = first_receipt(wanted.until) if wanted.until else _LAST
    values = {name: getattr(wanted, name) for name in (*_FEW, *_IN_ORDER, *_TRIED)} | {
        "before": min(wanted.before or _LAST, until),
        "first": first_receipt(wanted.since) if wanted.since else UUID(int=0),
    }
    few, in_order, tried = ([sql for name, sql in each.items() if values[name]] for each in (_FEW, _IN_ORDER, _TRIED))
    if wanted.outcome == "stored":  # most are: no index has them, and trying each receipt finds them at once
        tried.append(in_order.pop(0))
    if wanted.flag and not few:
        tried.remove(_TRIED["flag"])
        found = _FLAGGED.format(columns=_COLUMNS, most=LOOKED_AT, tried=_all_of([*in_order, *tried]))
    else:
        narrow = _all_of([*few, *in_order])
        found = _LOOKED_AT.format(columns=_COLUMNS, most=LOOKED_AT, narrow=narrow, tried=_all_of(tried))
    return _SELECT.format(found=found, rows=rows), values


def _all_of(conditions: list[SQL]) -> Composed:
    return SQL(" ").join(SQL("AND {}").format(condition) for condition in conditions)


def select(connection: Connection, wanted: Filter, rows: int = PAGE) -> Found:
    """Return the newest deliveries that match, of those before the page's place."""
    found = [row._asdict() for row in connection.execute(*statement(wanted, rows))]
    looked_at, matching, last = (found[0][name] for name in ("looked_at", "matching", "last"))
    shown = [row for row in found if row["receipt"]]
    for row in shown:
        del row["looked_at"], row["matching"], row["last"]
    is_all = looked_at < LOOKED_AT
    further = shown[-1]["receipt"] if matching > len(shown) else None if is_all else last
    return Found(shown, looked_at, matching, further, is_all)


def download(connection: Connection, wanted: Filter) -> Iterator[list[dict[str, Any]]]:
    """Yield the newest deliveries that match, up to a limit: a list of them at a time, which may be empty."""
    left = _MOST_ROWS
    for _ in range(_MOST_PAGES):
        found = select(connection, wanted, min(left, _ROWS_AT_ONCE))
        yield found.rows
        left -= len(found.rows)
        if left <= 0 or found.further is None:
            return
        wanted = replace(wanted, before=found.further)


def find(connection: Connection, receipt: UUID) -> dict[str, Any] | None:
    """Return a delivery, where it waited, and why it is or was a dead letter."""
    query = """
        SELECT deliveries.*, letter.reason AS dead_reason, letter.detail AS dead_detail, replayed_at, discarded_at,
               EXISTS (SELECT FROM overflow WHERE overflow.receipt = deliveries.receipt) AS overflowed,
               (SELECT count(*) FROM duplicate_entries AS copy WHERE copy.receipt = deliveries.receipt) AS copies
        FROM reporting.deliveries LEFT JOIN dead_letters AS letter USING (receipt) WHERE receipt = %s
    """
    row = connection.execute(query, [receipt]).fetchone()
    return row and row._asdict()


def sealed_body(connection: Connection, receipt: UUID) -> SealedBody | None:
    """Return what is known of the sealed body of a receipt; None if it is not kept."""
    row = connection.execute("SELECT key_id, size, headers FROM sealed_bodies WHERE receipt = %s", [receipt]).fetchone()
    return SealedBody(*row) if row else None


def event(connection: Connection, receipt: UUID) -> dict[str, Any] | None:
    """Return the event of a receipt, its content masked; None without one, or once it was erased."""
    query = """
        SELECT event_type, entity_id, revision, reason, content, flags, retry_of, position, changed_at
        FROM events WHERE receipt = %s AND content IS NOT NULL
    """
    row = connection.execute(query, [receipt]).fetchone()
    return row and row._asdict()


def is_entity(connection: Connection, entity_id: str) -> bool:
    """Return whether any event is about this id."""
    query = "SELECT EXISTS (SELECT receipts_of_entity(%s)) AS found"
    return bool(fetch_one(connection, query, [entity_id]).found)


def of_entity(connection: Connection, provider: str, entity_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest events about an id of a provider, of any event type, newest first."""
    query = """
        SELECT receipt, event_type, received_at, revision, reason, provider_event_id, content, flags, retry_of,
               position, change::text AS change
        FROM events WHERE receipt = ANY(ARRAY(SELECT receipts_of_entity(%s))) AND provider = %s
        ORDER BY received_at DESC, receipt DESC LIMIT %s
    """
    return [row._asdict() for row in connection.execute(query, [entity_id, provider, limit])]
