"""The sentences of the operators' page."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.console.overview import ago, consumer_problems, provider_problems

WELL: dict[str, Any] = {"provider": "p", "state": "up to date", "waiting": 12, "dead_letters": 0}
READS = (("scoring", 86_000.0), ("mailer", 90_000.0))
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_backlog_that_is_drained_in_time_is_no_problem() -> None:
    assert list(provider_problems([WELL])) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"state": "behind"}, "p: the ledger is behind"),
        ({"state": "not swept"}, "has not been swept yet"),
        ({"dead_letters": 1}, "1 delivery waits"),
        ({"dead_letters": 2}, "2 deliveries wait"),
        ({"suspected": 1}, "1 late retry may be a change back"),
        ({"suspected": 2}, "2 late retries may be changes back"),
    ],
)
def test_every_problem_is_a_sentence_that_names_its_provider(row: dict[str, Any], words: str) -> None:
    (sentence,) = provider_problems([WELL | {"provider": "other"}, WELL | row])
    assert words in sentence
    assert sentence.startswith("p: ")


def test_consumer_that_has_not_read_for_a_day_is_a_problem() -> None:
    read, unread = ({"consumer": name, "provider": "p", "unread_seconds": seconds} for name, seconds in READS)
    assert list(consumer_problems([read])) == []
    (sentence,) = consumer_problems([read, unread])
    assert sentence.startswith("p: consumer mailer has not read the feed for 25 h.")
    assert sentence.endswith("kvitto feed --forget mailer.")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 d ago"),
    ],
)
def test_ago_uses_the_largest_unit(seconds: float, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text
