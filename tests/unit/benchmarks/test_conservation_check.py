"""When a run is void."""

import pytest

from benchmarks.conservation_check import faults


def reported(missing: int = 0, accepted: int = 10, new: bool = True, **gained: int) -> list[str]:
    whole = {"receipts": 10, "stored": 10, "duplicate": 0, "dead": 0} | gained
    return list(faults(missing, whole, posted=10, accepted=accepted, new=new))


def test_what_was_answered_is_there_once() -> None:
    assert reported() == []
    assert reported(new=False, stored=0, duplicate=10) == []


def test_what_was_not_answered_may_be_there_or_not() -> None:
    assert reported(accepted=8) == reported(accepted=8, receipts=8, stored=8) == []


@pytest.mark.parametrize(
    ("books", "words"),
    [
        (reported(missing=1), "1 missing"),
        (reported(receipts=9, stored=9), "10 answered 200, 9 receipts"),
        (reported(receipts=11, stored=11), "10 posted, 11 receipts"),
        (reported(stored=9, duplicate=1), "only 9 are stored"),
        (reported(stored=9, dead=1), "only 9 are stored"),
        (reported(new=False), "only 0 are duplicates"),
    ],
)
def test_what_is_lost_or_doubled_is_reported(books: list[str], words: str) -> None:
    assert [words in text for text in books] == [True]
