"""What the operators' page says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.console.overview import ago, troubles

WELL: dict[str, Any] = {"provider": "p", "state": "up to date", "waiting": 12, "dead_letters": 0}
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_backlog_that_is_drained_in_time_is_no_trouble() -> None:
    assert list(troubles([WELL])) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"state": "behind"}, "p: the ledger is behind"),
        ({"state": "not swept"}, "has not been swept yet"),
        ({"dead_letters": 1}, "1 delivery waits"),
        ({"dead_letters": 2}, "2 deliveries wait"),
    ],
)
def test_every_trouble_is_a_sentence_that_names_its_provider(row: dict[str, Any], words: str) -> None:
    (sentence,) = troubles([WELL | {"provider": "other"}, WELL | row])
    assert words in sentence
    assert sentence.startswith("p: ")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (3_599, "59 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 d ago"),
    ],
)
def test_times_are_told_in_their_largest_unit(seconds: float, said: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == said
