"""A summary of delivery attempts: how many, how they were answered, how fast."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from app.audit.attempt_log import AttemptLog, DeliveryAttempt


@dataclass(slots=True)
class Summary:
    """Counts attempts as they end, and passes them on to listeners."""

    listeners: tuple[Callable[[DeliveryAttempt], None], ...] = ()
    statuses: Counter[int] = field(default_factory=Counter)
    retried: int = 0
    seconds: list[float] = field(default_factory=list)
    _faulty_events: set[tuple[str, str]] = field(default_factory=set)

    def add(self, attempt: DeliveryAttempt) -> None:
        """Count an attempt."""
        self.statuses[attempt.status] += 1
        self.retried += attempt.attempt > 1
        if attempt.fault is not None:
            self._faulty_events.add((attempt.fault, attempt.event))
        if attempt.status:
            self.seconds.append(attempt.seconds)
        for listener in self.listeners:
            listener(attempt)

    @property
    def faults(self) -> Counter[str]:
        """How many events had each fault."""
        return Counter(fault for fault, _ in self._faulty_events)

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self.statuses.total()

    def milliseconds(self) -> dict[str, float]:
        """Return how long answers took: median, two percentiles, and the slowest."""
        if not self.seconds:
            return {}
        sample = self.seconds if len(self.seconds) > 1 else self.seconds * 2
        cuts = statistics.quantiles(sample, n=100, method="inclusive")
        shares = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "slowest": max(self.seconds)}
        return {name: round(seconds * 1000, 1) for name, seconds in shares.items()}

    def line(self) -> str:
        """Return the counts in one line."""
        counts = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(self.statuses.items()))
        return f"{self.attempts} tries: {counts or 'none'}"


@contextmanager
def summarised(record: Path | None, *listeners: Callable[[DeliveryAttempt], None]) -> Iterator[Summary]:
    """Yield a summary for the attempts of a block; with a path, they are recorded in that file too."""
    with closing(AttemptLog(record)) if record else nullcontext() as log:
        yield Summary((log.add, *listeners) if log else listeners)
