"""Every problem is a sentence: whose, what, since when, and what to do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.audit.problem import Problem
from app.audit.problems import (
    consumer_problems,
    dead_letter_problems,
    progress_problems,
    rejection_problems,
    suspicion_problems,
)
from app.inbox.results import Backlog
from app.storage.rejected import RecentRejections

NOW = datetime(2026, 11, 1, 10, 30, tzinfo=UTC)
BEGAN = NOW - timedelta(minutes=20)
CURRENT: dict[str, Any] = {"provider": "p", "complete_until": NOW, "behind_seconds": 3.0}
LETTERS: dict[str, Any] = {
    "provider": "p",
    "topic": "loans",
    "reason": "wrong-key",
    "dead_letters": 45,
    "first_received_at": BEGAN,
    "last_received_at": NOW,
}


def waiting(entries: int, seconds: float) -> Backlog:
    return Backlog(entries, NOW - timedelta(seconds=seconds), NOW)


def rejected(given_up_from: datetime | None) -> str:
    began = BEGAN.astimezone(ZoneInfo("Europe/Stockholm"))  # as a session of Postgres may return it
    (problem,) = rejection_problems([RecentRejections("p", "wrong-token", 203, began, NOW, given_up_from)], NOW)
    return str(problem)


def test_a_problem_without_a_provider_or_a_time_has_neither_in_its_sentence() -> None:
    assert str(Problem("kind", "", "It is broken", "Repair it.")) == "It is broken. Repair it."


def test_a_backlog_that_is_drained_in_time_is_no_problem() -> None:
    assert list(progress_problems([CURRENT], {"p": waiting(12, 2)})) == []


def test_a_ledger_that_is_behind_says_how_many_deliveries_wait_for_how_long() -> None:
    late = CURRENT | {"behind_seconds": 1200.0, "complete_until": BEGAN}
    (problem,) = progress_problems([late], {"p": waiting(120, 1200)})
    assert str(problem).startswith(
        "p: the ledger is behind: 120 deliveries wait in the inbox, the oldest for 20 min"
        " (since 2026-11-01 10:10 UTC). Is its worker running?"
    )


def test_a_delivery_that_waits_for_long_is_a_problem_although_the_last_sweep_saw_nothing() -> None:
    assert [each.kind for each in progress_problems([CURRENT], {"p": waiting(1, 60)})] == ["behind"]


@pytest.mark.parametrize(
    ("freshness", "words"), [([], "No inbox has been swept yet."), ([CURRENT], "q: its inbox has not been swept yet.")]
)
def test_an_inbox_that_nobody_has_swept_is_a_problem(freshness: list[dict[str, Any]], words: str) -> None:
    (problem,) = progress_problems(freshness, {"q": waiting(1, 1)})
    assert str(problem).startswith(words)


@pytest.mark.parametrize(("number", "words"), [(1, "p: 1 delivery waits as"), (45, "p: 45 deliveries wait as")])
def test_dead_letters_say_why_since_when_and_how_to_replay_them(number: int, words: str) -> None:
    (problem,) = dead_letter_problems([LETTERS | {"dead_letters": number}])
    sentence = str(problem)
    assert sentence.startswith(words)
    assert "(loans, wrong-key), the last received at 2026-11-01 10:30 UTC (since 2026-11-01 10:10 UTC)." in sentence
    assert "Add the key" in sentence
    assert "kvitto dead-letters replay --provider p --reason wrong-key" in sentence


def test_rejections_say_how_long_is_left_and_how_to_readmit_them() -> None:
    sentence = rejected(BEGAN + timedelta(minutes=77, seconds=30))
    assert sentence.startswith("p: 203 requests were rejected (wrong-token), the last at 2026-11-01 10:30 UTC")
    assert "(since 2026-11-01 10:10 UTC). p gives up on the first in 57 min, at 2026-11-01 11:27 UTC." in sentence
    assert sentence.endswith("kvitto rejected readmit --provider p --since 2026-11-01T10:10:00.")
    assert "in 6 d, at" in rejected(NOW + timedelta(days=6, hours=3))


def test_rejections_on_which_the_provider_has_given_up_say_so() -> None:
    assert "p has given up on them." in rejected(None)


@pytest.mark.parametrize(("suspected", "words"), [(1, "1 late retry may be a change"), (2, "2 late retries may be")])
def test_suspected_late_retries_are_a_problem(suspected: int, words: str) -> None:
    counts = [{"provider": "q", "suspected": 0}, {"provider": "p", "suspected": suspected}]
    (problem,) = suspicion_problems(counts)
    assert str(problem).startswith(f"p: {words}")


def test_consumer_that_has_not_read_for_a_day_is_a_problem() -> None:
    reads = (("scoring", 86_000.0), ("mailer", 190_000.0))
    rows = [{"consumer": name, "provider": "p", "unread_seconds": ago, "read_at": NOW} for name, ago in reads]
    (problem,) = consumer_problems(rows)
    assert str(problem).startswith("p: consumer mailer has not read the feed for 2 d (since")
    assert str(problem).endswith("kvitto feed --forget mailer.")
