"""Faults on demand: what can go wrong, or be merely unusual, between a provider and its receiver."""

from dataclasses import dataclass

# How long a reordered event is held back, and over how long a slow client stretches a body.
HELD_SECONDS = 1.0
SLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    """What the dispatcher does for one fault; the hook decides what changes in the request.

    topics: the hooks that support it, as provider or provider/topic; empty: all.
    copies: how often the event is sent at once. held: the first attempt waits. slow: bodies are sent in small pieces.
    cut: the first attempt's answer is lost, so a retry follows. forgetful: the timer of that retry is lost as well.
    corrected: after the delivery, a correction of the event is sent.
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
        """Return whether the fault can happen on this hook."""
        return not self.topics or provider in self.topics or f"{provider}/{topic}" in self.topics


NO_FAULT = DeliveryFault("", "nothing goes wrong")
FAULTS = {
    fault.name: fault
    for fault in (
        DeliveryFault("duplicate", "sent twice at once", copies=2),
        DeliveryFault("reorder", f"held back for {HELD_SECONDS:.0f} s, so that later events overtake it", held=True),
        DeliveryFault("wrong-token", "every attempt carries a wrong token (Solaris: a wrong signature)"),
        DeliveryFault("wrong-key", "encrypted under a key that the receiver lacks: a dead letter", ("kompar",)),
        DeliveryFault(
            "fewer-fields", "first answer lost, the retry carries fewer fields", ("kompar/decisions",), cut=True
        ),
        DeliveryFault("corrected", "after its delivery, sent again with a changed value", corrected=True),
        DeliveryFault("slow-client", f"body sent in small pieces over {SLOW_SECONDS:.0f} s", slow=True),
        DeliveryFault("cut", "connection cut at our 200, body read or not: counts as failed, retried", cut=True),
        DeliveryFault("lost-timers", "first answer lost, and the timer of its retry too", cut=True, forgetful=True),
    )
}
