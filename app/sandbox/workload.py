"""An endless, seeded workload: each kind of event with its weight, faults on a share of them."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import uuid4

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
        self._undecided: deque[Mapping[str, object]] = deque(maxlen=_MAX_UNDECIDED)
        self._credit_lines: list[Iterator[fake_solaris.Fact]] = []

    def application(self) -> Event:
        """Return a new application."""
        document = fake_kompar.application(self._random)
        self._undecided.append(document)
        return kompar_event("applications", document)

    def decision(self) -> Event:
        """Return a decision on the oldest undecided application; if there is none, on one that is never sent."""
        applicant = self._undecided.popleft() if self._undecided else fake_kompar.application(self._random)
        document = fake_kompar.decision(self._random, applicant["application_id"], applicant, with_files=True)
        return kompar_event("decisions", document)

    def notification(self) -> Event:
        """Return a notification of Solaris: mostly the next status of a credit line application."""
        kinds = (self._credit_line_status, fake_solaris.overdraft_rate, fake_solaris.rejected_transaction)
        (make_fact,) = self._random.choices(kinds, (7, 1, 2))
        return fake_solaris.notification(self._random, *make_fact(self._random))

    def _credit_line_status(self, random: Random) -> fake_solaris.Fact:
        while True:
            while len(self._credit_lines) < _OPEN_CREDIT_LINES:
                self._credit_lines.append(iter(fake_solaris.credit_line(random)))
            credit_line = random.choice(self._credit_lines)
            if (fact := next(credit_line, None)) is not None:
                return fact
            self._credit_lines.remove(credit_line)


KINDS: dict[str, Callable[[EventGenerator], Event]] = {
    "applications": EventGenerator.application,
    "decisions": EventGenerator.decision,
    "solaris": EventGenerator.notification,
}


def kompar_event(topic: str, document: Mapping[str, object]) -> Event:
    """Return an event of Kompar. It has no id on the wire; this one is for the attempt log alone."""
    return Event(str(uuid4()), topic, str(document["application_id"]), document)


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
