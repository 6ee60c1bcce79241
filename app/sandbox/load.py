"""An open model of load: when an event is due is fixed by the rate, whatever the receiver does."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.sandbox.dispatcher import Dispatcher
from app.sandbox.mix import Step

# How late an event or a try may begin before the rate counts as not kept.
LATE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How events were sent: `rate` was asked for, `reached` is what came of it, both per second.

    latest_seconds: by how much the latest event was asked for too late.
    """

    events: int
    rate: float
    reached: float
    latest_seconds: float


def run(
    dispatcher: Dispatcher, steps: Iterator[Step], rate: float, seconds: float, tick: Callable[[int], None]
) -> Pace:
    """Send at a rate, per second, for some time; `tick` is told of every event. Answers are not waited for."""
    began, latest = time.monotonic(), 0.0
    wanted = max(round(rate * seconds), 1)
    for number, step in enumerate(itertools.islice(steps, wanted)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        latest = max(latest, time.monotonic() - due)
        dispatcher.send(step.hook, step.event, step.fault)
        tick(1)
    # The last has its share of the time, too.
    took = max(time.monotonic() - began, wanted / rate)
    return Pace(wanted, rate, wanted / took, latest)
