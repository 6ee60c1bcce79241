"""Figures of merit: percentiles, medians, ratios of pairs with their spread."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# What a curve of latencies is kept as: every percent, and the tail in finer steps.
SHARES = (*(number / 100 for number in range(1, 100)), 0.995, 0.999, 0.9995, 1.0)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values that at least this share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def curve(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles at SHARES, keyed by the share."""
    ordered = sorted(values)
    return {str(share): percentile(ordered, share) for share in SHARES} if ordered else {}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several runs, between the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def ratio(figures: Sequence[float], baselines: Sequence[float]) -> Spread:
    """Return the spread of the ratios of pairs: each figure by the baseline that was taken beside it."""
    return Spread.of([figure / baseline for figure, baseline in zip(figures, baselines, strict=True)])
