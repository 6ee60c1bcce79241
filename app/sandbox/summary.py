"""What tries came to: how many, how they were answered, how fast."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from app.audit.attempt_log import AttemptLog, DeliveryAttempt


@dataclass(slots=True)
class Summary:
    """Counts tries as they end, and passes them on to a recording and to all who want to be told."""

    recording: AttemptLog | None = None
    listeners: tuple[Callable[[DeliveryAttempt], None], ...] = ()
    statuses: Counter[int] = field(default_factory=Counter)
    befallen: set[tuple[str, str]] = field(default_factory=set)
    retried: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, each: DeliveryAttempt) -> None:
        """Note a try."""
        self.statuses[each.status] += 1
        if each.fault is not None:
            self.befallen.add((each.fault, each.event))
        self.retried += each.attempt > 1
        if each.status:
            self.seconds.append(each.seconds)
        if self.recording is not None:
            self.recording.add(each)
        for tell in self.listeners:
            tell(each)

    @property
    def faults(self) -> Counter[str]:
        """How many events each fault befell."""
        return Counter(fault for fault, _ in self.befallen)

    @property
    def tries(self) -> int:
        """How many there were."""
        return self.statuses.total()

    def milliseconds(self) -> dict[str, float]:
        """Return how long answers took: the median, two percentiles and the slowest."""
        if not self.seconds:
            return {}
        enough = self.seconds if len(self.seconds) > 1 else self.seconds * 2
        cuts = statistics.quantiles(enough, n=100, method="inclusive")
        shares = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "slowest": max(self.seconds)}
        return {name: round(seconds * 1000, 1) for name, seconds in shares.items()}

    def told(self) -> str:
        """Return it in a line."""
        counts = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(self.statuses.items()))
        return f"{self.tries} tries: {counts or 'none'}"


@contextmanager
def summing_up(record: Path | None, *listeners: Callable[[DeliveryAttempt], None]) -> Iterator[Summary]:
    """Return a summary of the tries made in a block, which are recorded in a file, if one is named."""
    with closing(AttemptLog(record)) if record else nullcontext() as recording:
        yield Summary(recording, listeners)
