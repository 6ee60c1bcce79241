"""A mix of what providers send: endless, seeded, each kind with its share, faults on some."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import uuid4

from app.sandbox import fake_kompar, fake_solaris
from app.sandbox.faults import FAULTS
from app.sandbox.hooks import Event, Hook

# How many applications may wait for their decision, and how many credit lines are examined at a time.
_UNDECIDED, _OPEN_LIVES = 100, 8


@dataclass(frozen=True, slots=True)
class Step:
    """What is sent, where, and what goes wrong with it."""

    hook: Hook
    event: Event
    fault: str | None = None


class EventGenerator:
    """Tells what happens at both providers, event by event: decisions are on applications that came before."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._undecided: deque[Mapping[str, object]] = deque(maxlen=_UNDECIDED)
        self._lives: list[Iterator[fake_solaris.Fact]] = []

    def application(self) -> Event:
        """Return a new application."""
        document = fake_kompar.application(self._random)
        self._undecided.append(document)
        return kompar_event("applications", document)

    def decision(self) -> Event:
        """Return a decision on an application that has none yet; without one, on one that nobody saw."""
        undecided = self._undecided.popleft() if self._undecided else fake_kompar.application(self._random)
        found = fake_kompar.decision(self._random, undecided["application_id"], undecided, with_files=True)
        return kompar_event("decisions", found)

    def notification(self) -> Event:
        """Return what the bank has to tell: mostly how a credit line application goes on."""
        (tell,) = self._random.choices((self._next_of_life, self._rate, self._rejection), (7, 1, 2))
        return fake_solaris.notification(self._random, *tell())

    def _next_of_life(self) -> fake_solaris.Fact:
        while len(self._lives) < _OPEN_LIVES:
            self._lives.append(iter(fake_solaris.credit_line(self._random)))
        life = self._random.choice(self._lives)
        fact = next(life, None)
        if fact is None:
            self._lives.remove(life)
            return self._next_of_life()
        return fact

    def _rate(self) -> fake_solaris.Fact:
        return fake_solaris.overdraft_rate(self._random)

    def _rejection(self) -> fake_solaris.Fact:
        return fake_solaris.rejected_transaction(self._random)


KINDS: dict[str, Callable[[EventGenerator], Event]] = {
    "applications": EventGenerator.application,
    "decisions": EventGenerator.decision,
    "solaris": EventGenerator.notification,
}


def kompar_event(topic: str, document: Mapping[str, object]) -> Event:
    """Return an event of Kompar's, which has no id on the wire: the record's own."""
    return Event(str(uuid4()), topic, str(document["application_id"]), document)


def steps(
    seed: int, weights: Mapping[str, int], hooks: Mapping[str, Hook], shares: Sequence[tuple[str, float]]
) -> Iterator[Step]:
    """Return endless steps; hooks are by event type, shares are of what a fault can befall."""
    random = Random(seed)
    story = EventGenerator(random)
    while True:
        (kind,) = random.choices(list(weights), list(weights.values()))
        event = KINDS[kind](story)
        hook = hooks[event.event_type]
        yield Step(hook, event, _fault(random.random(), hook, shares))


def _fault(drawn: float, hook: Hook, shares: Sequence[tuple[str, float]]) -> str | None:
    for name, share in shares:
        if FAULTS[name].applies_to(hook.provider, hook.topic):
            drawn -= share
            if drawn < 0:
                return name
    return None
