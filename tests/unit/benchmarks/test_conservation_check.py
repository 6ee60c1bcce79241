"""When a run is void."""

import pytest

from benchmarks.conservation_check import faults


def told(missing: int = 0, accepted: int = 10, new: bool = True, **gained: int) -> list[str]:
    whole = {"receipts": 10, "stored": 10, "duplicate": 0, "dead": 0} | gained
    return list(faults(missing, whole, posted=10, accepted=accepted, new=new))


def test_what_was_answered_is_there_once() -> None:
    assert told() == []
    assert told(new=False, stored=0, duplicate=10) == []


def test_what_was_not_answered_may_be_there_or_not() -> None:
    assert told(accepted=8) == told(accepted=8, receipts=8, stored=8) == []


@pytest.mark.parametrize(
    ("books", "words"),
    [
        (told(missing=1), "1 missing"),
        (told(receipts=9, stored=9), "10 answered 200, 9 receipts"),
        (told(receipts=11, stored=11), "10 posted, 11 receipts"),
        (told(stored=9, duplicate=1), "only 9 are stored"),
        (told(stored=9, dead=1), "only 9 are stored"),
        (told(new=False), "only 0 are duplicates"),
    ],
)
def test_what_is_lost_or_doubled_is_told(books: list[str], words: str) -> None:
    assert [words in text for text in books] == [True]
