"""Percentiles, spreads and ratios."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import SHARES, Spread, curve, percentile, ratio

VALUES = st.lists(st.floats(0, 1e6), min_size=1)


@given(VALUES, st.sampled_from(SHARES))
def test_a_percentile_is_a_value_that_its_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


def test_percentiles_of_a_hundred() -> None:
    ordered = list(range(1, 101))
    assert [percentile(ordered, share) for share in (0.5, 0.99, 0.999, 1.0)] == [50, 99, 100, 100]


def test_a_curve_of_nothing_is_empty() -> None:
    assert curve([]) == {}


def test_ratios_are_taken_pair_by_pair() -> None:
    # The second pair ran on a machine twice as busy: the ratio does not know.
    assert ratio([600, 300, 700], [1000, 500, 1000]) == Spread(0.6, 0.6, 0.7)
