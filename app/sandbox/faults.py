"""Faults on demand: what can go wrong, or be merely unusual, between a provider and its receiver."""

from dataclasses import dataclass

# How long a reordered event is held back, and over how long a slow client stretches a body.
HELD_SECONDS = 1.0
SLOW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    """What a fault does, and the hooks that support it, as provider or provider/topic; empty: all."""

    description: str
    topics: tuple[str, ...] = ()

    def applies_to(self, provider: str, topic: str) -> bool:
        """Return whether the fault can happen on this hook."""
        return not self.topics or provider in self.topics or f"{provider}/{topic}" in self.topics


FAULTS = {
    "duplicate": DeliveryFault("sent twice at once"),
    "reorder": DeliveryFault(f"held back for {HELD_SECONDS:.0f} s, so that later events overtake it"),
    "wrong-token": DeliveryFault("every attempt carries a wrong token (Solaris: a wrong signature)"),
    "wrong-key": DeliveryFault("encrypted under a key that the receiver lacks: a dead letter", ("kompar",)),
    "fewer-fields": DeliveryFault("first answer lost, the retry carries fewer fields", ("kompar/decisions",)),
    "corrected": DeliveryFault("after its delivery, sent again with a changed value"),
    "slow-client": DeliveryFault(f"body sent in small pieces over {SLOW_SECONDS:.0f} s"),
    "cut": DeliveryFault("connection cut at our 200, body read or not: counts as failed, retried"),
    "lost-timers": DeliveryFault("first answer lost, and the timer of its retry too"),
}
# The answer to the first attempt is lost, so a retry follows; with lost-timers, the timer of that retry is lost too.
FIRST_ANSWER_LOST = ("cut", "fewer-fields", "lost-timers")
