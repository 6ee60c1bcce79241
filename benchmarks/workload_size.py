"""How much a run measures."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Volume:
    """How much is sent and stored.

    pairs: how often each figure and its baselines are taken in turn; accepted: label → (bytes of a body, posts);
    steady_seconds: how long a fixed rate is held; drained: deliveries of a full inbox; search_steps: rates tried to
    find the highest sustained one; stored: events in the ledger, ascending; delivered: deliveries while memory is
    looked at so many times; staged: events taken through each stage; aged: events over 36 months.
    """

    pairs: int
    accepted: Mapping[str, tuple[int, int]]
    steady_seconds: float
    drained: int
    search_steps: int
    stored: tuple[int, ...]
    delivered: int
    looks: int
    staged: int
    burst_seconds: float
    aged: int

    @property
    def few_pairs(self) -> int:
        """How often those figures are taken that only say more about the main ones."""
        return min(self.pairs, 3)


FULL = Volume(
    pairs=5,
    accepted={"0.5 KB": (500, 12_000), "4 KB": (4096, 6_000), "64 KB": (65_536, 1_200), "1 MB": (1_000_000, 100)},
    steady_seconds=4,
    drained=12_000,
    search_steps=3,
    stored=(0, 1_000_000, 5_000_000),
    delivered=150_000,
    looks=10,
    staged=5_000,
    burst_seconds=10,
    aged=5_000_000,
)
QUICK = Volume(
    pairs=2,
    accepted={"0.5 KB": (500, 4_000), "4 KB": (4096, 2_000), "64 KB": (65_536, 400), "1 MB": (1_000_000, 40)},
    steady_seconds=3,
    drained=5_000,
    search_steps=3,
    stored=(0, 100_000),
    delivered=20_000,
    looks=5,
    staged=1_000,
    burst_seconds=5,
    aged=100_000,
)
# Ratios only, in two and a half minutes.
CHECK = Volume(
    pairs=3,
    accepted={"0.5 KB": (500, 8_000)},
    steady_seconds=0,
    drained=8_000,
    search_steps=0,
    stored=(),
    delivered=0,
    looks=0,
    staged=0,
    burst_seconds=0,
    aged=0,
)
# So that tests see every line of it run.
TINY = Volume(
    pairs=1,
    accepted={"0.5 KB": (500, 60)},
    steady_seconds=0.3,
    drained=60,
    search_steps=1,
    stored=(0, 300),
    delivered=60,
    looks=2,
    staged=30,
    burst_seconds=0.3,
    aged=3_000,
)
