"""Finds the problems that need an operator, in what the ledger and the inboxes say."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.audit.problem import Problem, moment
from app.domain.clocks import TOLERATED_SECONDS
from app.domain.durations import in_words
from app.errors import WRONG_KEY, StoreUnavailableError
from app.inbox.results import Backlog
from app.storage import fallbacks, rejected, reports
from app.storage.connection import Connection
from app.storage.rejected import RecentRejections
from app.storage.reports import Rows

# Sweeps complete the ledger every few seconds. The alert KvittoBehind has the same limit.
LATE_SECONDS = 45.0
# Audits run every 30 s; a worker that drains a backlog may skip a few.
_UNAUDITED_SECONDS = 180.0
_UNREAD_SECONDS = 86_400.0
# A change of a schema is a problem for so long; after that it is only listed.
_NEW_DRIFT = timedelta(days=1)
_MOST_SENTENCES = 5
_NO_WORKER = (
    "Is its worker running? See kvitto health worker, and restart it. Does its log say store_unavailable_skipped? "
    "Then repair that store. Else look at beat and Redis."
)
# A secret in a file is read again, one in a variable is not.
_TAKEN_BY = ", and restart {} unless it is in a file"
Backlogs = Mapping[str, Backlog]


def find(connection: Connection, ask: Callable[[], Backlogs]) -> list[Problem]:
    """Return the problems of stores; none if all is well.

    `ask` returns what waits by inbox, or raises StoreUnavailableError.
    """
    audits, swept, now = reports.audits(connection), reports.freshness(connection), reports.clock(connection)
    backlogs: Backlogs = {}
    unknown = []
    try:
        backlogs = ask()
    except StoreUnavailableError as error:
        what = f"How many deliveries wait is not known: {error}"
        unknown = [Problem("inbox-unreadable", "", what, "Check Redis, and the console's REDIS_URL.")]
    return [
        *loss_problems(audits),
        *schedule_problems(audits),
        *clock_problems(swept),
        *unknown,
        *progress_problems(swept, backlogs),
        *dead_letter_problems(reports.dead_letter_counts(connection)),
        *rejection_problems(rejected.recent(connection), now),
        *suspicion_problems(reports.suspected_counts(connection)),
        *consumer_problems(reports.feed_consumers(connection)),
        *silence_problems(reports.silence(connection)),
        *drift_problems(reports.schema_drift(connection), now),
        *fallback_problems(fallbacks.current(connection)),
    ]


def loss_problems(audits: Rows) -> Iterator[Problem]:
    """Yield a problem for each provider of which deliveries are missing."""
    for row in audits:
        if row["missing"]:
            yield Problem("missing", row["provider"], f"{row['missing']} MISSING", "Run: kvitto audit.")


def schedule_problems(audits: Rows) -> Iterator[Problem]:
    """Yield a problem for each audit that is overdue, or that was recorded in the future."""
    for row in audits:
        if row["seconds_ago"] > _UNAUDITED_SECONDS:
            what = f"not audited for {in_words(row['seconds_ago'])}"
            yield Problem(
                "not-audited", row["provider"], what, "Are its worker and beat running?", since=row["audited_at"]
            )
        if row["seconds_ago"] < -TOLERATED_SECONDS:
            what = f"its last audit is {-row['seconds_ago']:.0f} s in the future"
            yield Problem("audit-in-future", row["provider"], what, "Was the clock of Postgres set back?")


def clock_problems(freshness: Rows) -> Iterator[Problem]:
    """Yield a problem for each provider at whose last sweep the clocks of Redis and Postgres differed."""
    for row in freshness:
        skew = row["clock_skew_seconds"]
        if abs(skew) > TOLERATED_SECONDS:
            distance = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the clock of Postgres"
            what = f"the clock of Redis, or a time of receipt, is {distance}"
            yield Problem("clocks-differ", row["provider"], what, "Have all machines keep time by NTP.")


def progress_problems(freshness: Rows, backlogs: Backlogs) -> Iterator[Problem]:
    """Yield a problem for each provider whose ledger is behind, or whose inbox nobody has swept yet."""
    if not freshness:
        hint = "Are workers and beat running? See kvitto health worker, and kvitto health beat."
        yield Problem("not-swept", "", "No inbox has been swept yet", hint)
        return
    complete = {row["provider"]: row for row in freshness}
    for provider in sorted(complete.keys() | {name for name, backlog in backlogs.items() if backlog.entries}):
        backlog = backlogs.get(provider)
        if provider not in complete:
            yield Problem("not-swept", provider, "its inbox has not been swept yet", _NO_WORKER)
        elif not is_current(complete[provider]) or _oldest_seconds(backlog) > LATE_SECONDS:
            yield _behind(complete[provider], backlog)


def _behind(freshness: Mapping[str, Any], backlog: Backlog | None) -> Problem:
    what, hint = "the ledger is behind", _NO_WORKER
    if backlog and backlog.oldest_at:
        lasts = in_words(_oldest_seconds(backlog))
        what += f": {backlog.entries} deliveries wait in the inbox, the oldest for {lasts}"
    elif backlog and freshness["behind_seconds"] > LATE_SECONDS:
        what = f"no sweep for {in_words(freshness['behind_seconds'])}; nothing waits in the inbox"
        hint = "Is beat running? See kvitto health beat; then kvitto health worker."
    return Problem("behind", freshness["provider"], what, hint, freshness["complete_until"])


def is_current(freshness: Mapping[str, Any]) -> bool:
    """Return whether the ledger of a provider is complete up to now, but for the time that a sweep takes."""
    return -TOLERATED_SECONDS <= float(freshness["behind_seconds"]) <= LATE_SECONDS


def _oldest_seconds(backlog: Backlog | None) -> float:
    if backlog is None or backlog.oldest_at is None:
        return 0.0
    return (backlog.server_time - backlog.oldest_at).total_seconds()


def dead_letter_problems(counts: Rows) -> Iterator[Problem]:
    """Yield a problem for the dead letters of each topic and reason."""
    for row in counts:
        provider, reason, number = row["provider"], row["reason"], row["dead_letters"]
        wait = "delivery waits as a dead letter" if number == 1 else "deliveries wait as dead letters"
        what = f"{number} {wait} ({row['topic']}, {reason}), the last received at {moment(row['last_received_at'])}"
        cause = f"Add the key that it uses now{_TAKEN_BY.format('worker')}" if reason == WRONG_KEY else "Fix the cause"
        replay = f"kvitto dead-letters replay --provider {provider} --reason {reason}"
        hint = f"{cause}; then run: {replay}; or kvitto dead-letters discard those that never can be taken in."
        yield Problem("dead-letters", provider, what, hint, row["first_received_at"], f"{row['topic']} {reason}")


def rejection_problems(recent: list[RecentRejections], now: datetime) -> Iterator[Problem]:
    """Yield a problem for each reason for which several requests were rejected lately, and how long is left."""
    for each in recent:
        if each.given_up_from:
            left = _time_left((each.given_up_from - now).total_seconds())
            gives_up = f"{each.provider} gives up on the first in {left}, at {moment(each.given_up_from)}. "
        else:
            gives_up = f"{each.provider} has given up on them. "
        what = f"{each.requests} requests were rejected ({each.reason}), the last at {moment(each.last_at)}"
        since = f"{each.first_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
        readmit = f"kvitto rejected readmit --provider {each.provider} --since {since}"
        correct = f"If a secret or an address is wrong, correct it{_TAKEN_BY.format('ingest')}; then run: {readmit}."
        yield Problem("rejections", each.provider, what, gives_up + correct, each.first_at, each.reason)


def _time_left(seconds: float) -> str:
    """Return how long is left, to the minute if that counts."""
    return in_words(seconds) if seconds > 7_200 else f"{max(seconds, 0) // 60:.0f} min"


def suspicion_problems(counts: Rows) -> Iterator[Problem]:
    """Yield a problem for each provider of which late retries may be changes back."""
    for row in counts:
        if suspected := row["suspected"]:
            what = "1 late retry may be a change" if suspected == 1 else f"{suspected} late retries may be changes"
            hint = "Ask the customer; see: kvitto deliveries suspected."
            yield Problem("suspected", row["provider"], f"{what} back", hint)


def consumer_problems(consumers: Rows) -> Iterator[Problem]:
    """Yield a problem for every consumer of the feed that has not read for a day."""
    for row in consumers:
        if row["unread_seconds"] > _UNREAD_SECONDS:
            name = row["consumer"]
            what = f"consumer {name} has not read the feed for {in_words(row['unread_seconds'])}"
            hint = f"Start it; or, if it is no longer used, run: kvitto feed --forget {name}."
            yield Problem("unread-feed", row["provider"], what, hint, row["read_at"], name)


def silence_problems(silence: Rows) -> Iterator[Problem]:
    """Yield a problem for each provider that is silent, or else for each of its topics."""
    silent = [row for row in silence if row["is_silent"]]
    whole = {row["provider"] for row in silent if row["topic"] is None}
    for row in silent:
        if row["topic"] is None or row["provider"] not in whole:
            of_what = f"{row['topic']} " if row["topic"] else ""
            usual = f"usually one every {in_words(row['usual_gap_seconds'])}"
            what = f"no {of_what}delivery for {in_words(row['seconds'])}, {usual}"
            hint = "Does ingest answer its requests, and is the subscription active? Ask the provider."
            yield Problem("silence", row["provider"], what, hint, row["last_received_at"], row["topic"] or "")


def drift_problems(drift: Rows, now: datetime) -> Iterator[Problem]:
    """Yield a problem for what has been new in deliveries for less than a day, the newest first."""
    recent = [row for row in drift if now - row["first_received_at"] < _NEW_DRIFT]
    hint = "See reporting.schema_drift, and ask the provider."
    for row in recent[:_MOST_SENTENCES]:
        what = f"{row['event_type']}: {_describe(row)}, in {row['deliveries']} deliveries"
        subject = " ".join(str(row[name]) for name in ("event_type", "path", "json_type", "value"))
        yield Problem("drift", row["provider"], what, hint, row["first_received_at"], subject)
    if (more := len(recent) - _MOST_SENTENCES) > 0:
        yield Problem("more-drift", "", f"{more} more changes of schemas", hint)


def _describe(row: dict[str, Any]) -> str:
    match row["kind"]:
        case "key":
            return f"new key {row['path']} ({row['json_type']})"
        case "type":
            return f"new type of {row['path']}: {row['json_type']}"
        case "value":
            return f"new value of {row['path']}: {row['value']}"
        case _:
            return "so many changes that no more of them are listed"


def fallback_problems(lasting: list[fallbacks.Fallback]) -> Iterator[Problem]:
    """Yield a problem for each process that has worked round a failed server for long."""
    for each in lasting:
        yield Problem("fallback", each.provider, each.what, each.hint, each.since, each.process)


def canary_problems(canaries: Rows, providers: tuple[str, ...], limit: float) -> Iterator[Problem]:
    """Yield a problem for each provider whose newest canary is too old, or that has none.

    Canaries take the path of deliveries. They are optional: none if no provider has ever had one, or if the limit is 0.
    The database's clock counts; a sender whose clock is slow makes its canaries look older.
    """
    newest = {row["provider"]: row for row in canaries}
    for provider in providers if newest and limit else ():
        row = newest.get(provider)
        if row is None:
            what = "no canary has arrived yet"
            yield Problem("no-canary", provider, what, "Check beat, ingest and the worker.")
        elif row["age_seconds"] > limit:
            what = f"the newest canary is {row['age_seconds']:.0f} s old, more than {limit} s"
            hint = "Check the worker, beat and ingest, and beat's clock."
            yield Problem("canary-late", provider, what, hint, row["sent_at"])
        elif row["age_seconds"] < -TOLERATED_SECONDS:
            what = f"the newest canary was sent {-row['age_seconds']:.0f} s in the future"
            yield Problem("canary-in-future", provider, what, "Was the clock of Postgres set back?")


def ledger_unreadable(cause: str, since: datetime) -> Problem:
    """Return the problem that the console cannot read the ledger."""
    hint = "Deliveries wait in Redis meanwhile. Check Postgres, and the console's DATABASE_URL: kvitto check console."
    return Problem("ledger-unreadable", "", f"The ledger cannot be read now: {cause}", hint, since)
