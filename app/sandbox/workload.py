"""An endless, seeded workload: each kind of event with its weight, faults on a share of them."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from app.sandbox import fake_kompar, fake_solaris
from app.sandbox.faults import FAULTS
from app.sandbox.hooks import Event, Hook

# How many applications may wait for their decision, and how many credit lines are in progress at once.
_MAX_UNDECIDED, _OPEN_CREDIT_LINES = 100, 8


@dataclass(frozen=True, slots=True)
class Step:
    """One event to send: to which hook, and with which fault."""

    hook: Hook
    event: Event
    fault: str | None = None


class EventGenerator:
    """Generates events of both providers. A decision belongs to an earlier application, a status to its credit line."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._undecided: deque[Event] = deque(maxlen=_MAX_UNDECIDED)
        self._credit_lines: list[Iterator[fake_solaris.Fact]] = []

    def application(self) -> Event:
        """Return a new application."""
        self._undecided.append(fake_kompar.application_event(self._random))
        return self._undecided[-1]

    def decision(self) -> Event:
        """Return a decision on the oldest undecided application; if there is none, on one that is never sent."""
        application = self._undecided.popleft() if self._undecided else fake_kompar.application_event(self._random)
        return fake_kompar.decision_event(self._random, application, with_files=True)

    def notification(self, event_type: str | None = None) -> Event:
        """Return a notification of Solaris; by default, mostly the next status of a credit line application."""
        if event_type is None:
            (event_type,) = self._random.choices(fake_solaris.EVENT_TYPES, (7, 1, 2))
        if event_type == fake_solaris.CREDIT_LINE:
            return fake_solaris.notification(self._random, *self._credit_line_status())
        return fake_solaris.notification(self._random, *fake_solaris.fact(self._random, event_type))

    def _credit_line_status(self) -> fake_solaris.Fact:
        while True:
            while len(self._credit_lines) < _OPEN_CREDIT_LINES:
                self._credit_lines.append(iter(fake_solaris.credit_line(self._random)))
            credit_line = self._random.choice(self._credit_lines)
            if (fact := next(credit_line, None)) is not None:
                return fact
            self._credit_lines.remove(credit_line)


KINDS: dict[str, Callable[[EventGenerator], Event]] = {
    "applications": EventGenerator.application,
    "decisions": EventGenerator.decision,
    "solaris": EventGenerator.notification,
}


def steps(
    seed: int, weights: Mapping[str, int], hooks: Mapping[str, Hook], fault_shares: Sequence[tuple[str, float]]
) -> Iterator[Step]:
    """Yield endless steps. `hooks` is by event type; a share is of the events that the fault applies to."""
    random = Random(seed)
    generator = EventGenerator(random)
    while True:
        (kind,) = random.choices(list(weights), list(weights.values()))
        event = KINDS[kind](generator)
        hook = hooks[event.event_type]
        yield Step(hook, event, _choose_fault(random.random(), hook, fault_shares))


def _choose_fault(drawn: float, hook: Hook, fault_shares: Sequence[tuple[str, float]]) -> str | None:
    for name, share in fault_shares:
        if FAULTS[name].applies_to(hook.provider, hook.topic):
            drawn -= share
            if drawn < 0:
                return name
    return None
