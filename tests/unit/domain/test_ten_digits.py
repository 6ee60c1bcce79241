"""One form of personal and company numbers."""

from typing import Any

import pytest

from app.domain.national_ids import ten_digits


@pytest.mark.parametrize(
    "spelling",
    [
        "8112189876", "811218-9876", "811218+9876", "811218 9876", "811218\u20139876", "19811218-9876", "198112189876",
        "168112189876", "188112189876", "SE811218987601", "se 811218-9876 01", "8112189876-01", "811218-9876-001",
        8112189876, "\uff18\uff11\uff11\uff12\uff11\uff18\uff19\uff18\uff17\uff16", "\u00a0811218\u00a09876 ",
    ],
)  # fmt: skip
def test_ten_digits_are_the_same_in_every_spelling(spelling: Any) -> None:
    assert ten_digits(spelling) == "8112189876"


def test_ten_digits_of_a_number_that_lost_its_leading_zero() -> None:
    assert ten_digits(501011234) == ten_digits("050101-1234") == "0501011234"


@pytest.mark.parametrize("value", [None, True, 1.5, "", "blank", "12345678", "811218-T876", ["8112189876"], 10**14])
def test_ten_digits_of_anything_else_are_none(value: Any) -> None:
    assert ten_digits(value) is None
