"""Faults on demand: what goes wrong, or merely odd, between a provider and its receiver."""

from dataclasses import dataclass

# How long a reordered event is held back, and over how long a slow client stretches a body.
HELD_SECONDS = 1.0
SLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what the dispatcher does for it; what it changes in a request is the hook's to say.

    topics: the only hooks that know it, as provider or provider/topic; none: all do.
    copies: how often the event is sent at once. held: its first try waits. slow: bodies come in small pieces.
    cut: the first try's answer is lost, so that another follows. forgetful: but the timer of that one is lost, too.
    corrected: once delivered, the event is followed by its correction.
    """

    name: str
    description: str
    topics: tuple[str, ...] = ()
    copies: int = 1
    held: bool = False
    slow: bool = False
    cut: bool = False
    forgetful: bool = False
    corrected: bool = False

    def applies_to(self, provider: str, topic: str) -> bool:
        """Tell whether it can happen to what this hook sends."""
        return not self.topics or provider in self.topics or f"{provider}/{topic}" in self.topics


_NONE = Fault("", "nothing goes wrong")
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("duplicate", "sent twice at once", copies=2),
        Fault("reorder", f"held back for {HELD_SECONDS:.0f} s, so that later events overtake it", held=True),
        Fault("wrong-token", "every try with a token (Solaris: a signature) that is not right"),
        Fault("wrong-key", "encrypted under a key that the receiver lacks: becomes a dead letter", ("kompar",)),
        Fault(
            "fewer-fields",
            "its first answer is lost, and the retry carries fewer fields",
            ("kompar/decisions",),
            cut=True,
        ),
        Fault("corrected", "once delivered, sent again on purpose with a changed value", corrected=True),
        Fault("slow-client", f"body in small pieces over {SLOW_SECONDS:.0f} s", slow=True),
        Fault("cut", "connection cut when our 200 came, its body read or not: taken as failed, tried again", cut=True),
        Fault("lost-timers", "its first answer is lost, and so is the timer of its retry", cut=True, forgetful=True),
    )
}


def named(name: str | None) -> Fault:
    """Return a fault by its name, for None one that does nothing; raises KeyError for what is no fault."""
    return _NONE if name is None else FAULTS[name]
