"""What operators ask workers to do: replay or discard dead letters, rehearse that, and open a body."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from app.domain.outcome import Outcome
from app.storage import access_log
from app.storage.access_log import Access
from app.storage.connection import Connection

Kind = Literal["dry-run", "replay", "discard"]
# An attempt that did not end for so long was interrupted; so many are made.
_LOST_SECONDS, _MOST_ATTEMPTS = 60, 2
_INTERRUPTED = f"{_MOST_ATTEMPTS} attempts were interrupted: their workers ended, or Postgres failed"
# Nobody waits longer for a body.
_REVEAL_SECONDS = 60
_SELECT = """
    SELECT jobs.*, counted.* FROM ({}) AS jobs CROSS JOIN LATERAL (
        SELECT coalesce(sum(letters), 0)::bigint AS letters, coalesce(sum(finished), 0)::bigint AS finished,
               coalesce(sum(begun), 0)::bigint AS begun, max(finished_at) AS finished_at,
               coalesce(jsonb_object_agg(outcome, letters) FILTER (WHERE outcome IS NOT NULL), '{{}}') AS outcomes
        FROM (SELECT outcome, count(*) AS letters, count(finished_at) AS finished, max(finished_at) AS finished_at,
                     count(*) FILTER (WHERE attempts > 0) AS begun
              FROM operator_job_items AS item WHERE item.job = jobs.job GROUP BY outcome) AS by_outcome
    ) AS counted ORDER BY requested_at DESC
"""


class Letters(NamedTuple):
    """Which dead letters are meant; None means all."""

    provider: str | None = None
    topic: str | None = None
    reason: str | None = None
    receipt: UUID | None = None


class Item(NamedTuple):
    """A dead letter of a job that a worker has claimed."""

    job: UUID
    receipt: UUID
    kind: Kind
    operator: str
    why: str | None
    started_at: datetime


class RevealRequest(NamedTuple):
    """A body that a person asks to see, and the key for which it is encrypted."""

    request: UUID
    receipt: UUID
    operator: str
    why: str
    public_key: bytes


def groups(connection: Connection) -> list[dict[str, Any]]:
    """Return the dead letters that wait, by provider, topic and reason, with the time of the first and of the last."""
    query = """
        SELECT provider, topic, reason, dead_letters AS letters, first_received_at AS first_at,
               last_received_at AS last_at, first_received_at > clock_timestamp() - interval '1 day' AS is_new
        FROM reporting.dead_letter_counts ORDER BY is_new DESC, letters DESC, provider, topic, reason
    """
    return [row._asdict() for row in connection.execute(query)]


def request(connection: Connection, kind: Kind, letters: Letters, operator: str, why: str | None) -> UUID | None:
    """Have workers do something with the dead letters that wait now; return the job, None if none waits.

    A discarded letter counts as one that waits if it is named.
    """
    job = UUID(bytes=uuid7().bytes)
    query = """
        WITH letters AS MATERIALIZED (
            SELECT receipt, provider FROM reporting.deliveries
            WHERE (outcome = 'dead' OR outcome = 'discarded' AND %(receipt)s::uuid IS NOT NULL)
              AND (%(receipt)s::uuid IS NULL OR receipt = %(receipt)s)
              AND (%(provider)s::text IS NULL OR provider = %(provider)s)
              AND (%(topic)s::text IS NULL OR topic = %(topic)s)
              AND (%(reason)s::text IS NULL OR reason = %(reason)s)
        ), asked AS (
            INSERT INTO operator_jobs (job, kind, operator, why, provider, topic, reason, receipt)
            SELECT %(job)s, %(kind)s, %(operator)s, %(why)s, %(provider)s, %(topic)s, %(reason)s, %(receipt)s
            WHERE EXISTS (SELECT FROM letters) RETURNING job
        )
        INSERT INTO operator_job_items (job, receipt, provider)
        SELECT job, letters.receipt, letters.provider FROM asked CROSS JOIN letters
    """
    values = letters._asdict() | {"job": job, "kind": kind, "operator": operator, "why": why}
    with connection.transaction():
        if not (found := connection.execute(query, values).rowcount):
            return None
        action: access_log.Action = "dry-run" if kind == "dry-run" else "job-requested"
        subject = f"job {job}, {found} dead letters"
        access_log.record(connection, Access(action, operator, why, letters.provider, letters.receipt, subject))
    return job


def select(connection: Connection, most: int) -> list[dict[str, Any]]:
    """Return the newest jobs, newest first, with their progress."""
    newest = "SELECT * FROM operator_jobs ORDER BY requested_at DESC LIMIT %s"
    return [_with_state(row._asdict()) for row in connection.execute(_SELECT.format(newest).encode(), [most])]


def find(connection: Connection, job: UUID) -> dict[str, Any] | None:
    """Return a job with its progress."""
    one = "SELECT * FROM operator_jobs WHERE job = %s"
    row = connection.execute(_SELECT.format(one).encode(), [job]).fetchone()
    return _with_state(row._asdict()) if row else None


def _with_state(row: dict[str, Any]) -> dict[str, Any]:
    """Return a job with its state in a word."""
    if row["finished"] == row["letters"]:
        state = "done"
    elif row["cancelled_by"]:
        state = "cancelled"
    else:
        state = "running" if row["begun"] else "waiting"
    return row | {"state": state}


def items(connection: Connection, job: UUID, most: int) -> list[dict[str, Any]]:
    """Return letters of a job: those that failed first, then those that are finished, then the others."""
    # OFFSET keeps what is shown of each letter a look at one index of one month, whatever the planner knows.
    query = """
        SELECT item.receipt, item.outcome, item.reason, item.detail, finished_at, topic, item.provider, entity_id
        FROM (
            SELECT *, row_number() OVER (ORDER BY outcome = 'failed' DESC NULLS LAST,
                                                  outcome = 'dead' DESC NULLS LAST, receipt) AS place
            FROM operator_job_items WHERE job = %s ORDER BY place LIMIT %s
        ) AS item LEFT JOIN LATERAL (
            SELECT topic, entity_id FROM reporting.deliveries WHERE receipt = item.receipt OFFSET 0
        ) AS delivery ON true ORDER BY place
    """
    return [row._asdict() for row in connection.execute(query, [job, most])]


def cancel(connection: Connection, job: UUID, operator: str) -> bool:
    """Have workers begin no more letters of a job; return whether it was still at work."""
    query = """
        UPDATE operator_jobs SET cancelled_by = %(operator)s
        WHERE job = %(job)s AND cancelled_by IS NULL
          AND EXISTS (SELECT FROM operator_job_items AS item WHERE item.job = %(job)s AND finished_at IS NULL)
    """
    with connection.transaction():
        is_cancelled = bool(connection.execute(query, {"job": job, "operator": operator}).rowcount)
        if is_cancelled:
            access_log.record(connection, Access("job-cancelled", operator, subject=f"job {job}"))
    return is_cancelled


def claim(connection: Connection, provider: str) -> Item | None:
    """Return the next letter of a provider whose turn it is, and record the attempt; None without one."""
    query = """
        UPDATE operator_job_items AS item SET attempts = attempts + 1, started_at = clock_timestamp()
        FROM operator_jobs AS of_job
        WHERE of_job.job = item.job AND (item.job, item.receipt) = (
            SELECT open.job, open.receipt FROM operator_job_items AS open JOIN operator_jobs USING (job)
            WHERE open.provider = %(provider)s AND finished_at IS NULL AND cancelled_by IS NULL
              AND (started_at IS NULL OR started_at < clock_timestamp() - make_interval(secs => %(lost)s))
            ORDER BY job, open.receipt LIMIT 1 FOR UPDATE OF open SKIP LOCKED
        )
        RETURNING item.job, item.receipt, kind, operator, why, item.started_at, attempts
    """
    row = connection.execute(query, {"provider": provider, "lost": _LOST_SECONDS}).fetchone()
    if row is None:
        return None
    item = Item(*row[:-1])
    if row.attempts <= _MOST_ATTEMPTS:
        return item
    finish(connection, item, "failed", Outcome("dead", None, _INTERRUPTED))
    return claim(connection, provider)


def give_back(connection: Connection, item: Item) -> None:
    """Undo a claim, unless the letter is finished, or another worker has claimed it since."""
    query = """
        UPDATE operator_job_items SET attempts = attempts - 1, started_at = NULL
        WHERE job = %s AND receipt = %s AND started_at = %s AND finished_at IS NULL
    """
    connection.execute(query, [item.job, item.receipt, item.started_at])


def finish(connection: Connection, item: Item, name: str, outcome: Outcome) -> None:
    """Record what became of a letter."""
    query = """
        UPDATE operator_job_items SET finished_at = clock_timestamp(), outcome = %s, reason = %s, detail = %s
        WHERE job = %s AND receipt = %s
    """
    connection.execute(query, [name, outcome.reason, outcome.detail, item.job, item.receipt])


def ask_to_reveal(connection: Connection, provider: str, wanted: RevealRequest) -> None:
    """Ask a worker of the provider to open a body."""
    query = """
        INSERT INTO reveal_requests (request, receipt, provider, operator, why, public_key)
        VALUES (%(request)s, %(receipt)s, %(provider)s, %(operator)s, %(why)s, %(public_key)s)
    """
    connection.execute(query, wanted._asdict() | {"provider": provider})


def take_answer(connection: Connection, request_id: UUID) -> bytes | None:
    """Return the answer to a request and forget the request; None if there is none yet."""
    query = "DELETE FROM reveal_requests WHERE request = %s AND answer IS NOT NULL RETURNING answer"
    row = connection.execute(query, [request_id]).fetchone()
    return bytes(row.answer) if row else None


def forget_request(connection: Connection, request_id: UUID) -> None:
    """Forget a request for which nobody waits."""
    connection.execute("DELETE FROM reveal_requests WHERE request = %s", [request_id])


def reveal_requests(connection: Connection, provider: str) -> Sequence[RevealRequest]:
    """Return the requests for bodies of a provider that nobody has answered; forget those that nobody waits for."""
    query = "DELETE FROM reveal_requests WHERE requested_at < clock_timestamp() - make_interval(secs => %s)"
    connection.execute(query, [_REVEAL_SECONDS])
    query = """
        SELECT request, receipt, operator, why, public_key FROM reveal_requests
        WHERE provider = %s AND answer IS NULL ORDER BY requested_at LIMIT 10
    """
    return [RevealRequest(*row) for row in connection.execute(query, [provider])]


def answer(connection: Connection, request_id: UUID, sealed: bytes) -> bool:
    """Answer a request; return whether somebody still waits, and no other worker was first."""
    query = "UPDATE reveal_requests SET answer = %b WHERE request = %s AND answer IS NULL"
    return bool(connection.execute(query, [sealed, request_id]).rowcount)
