"""Events, hooks and a record for the tests of what dispatches them."""

import itertools

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox.hooks import Event
from app.sandbox.kompar import KomparHook
from app.sandbox.solaris import SolarisHook
from tests.support.fake_receiver import Receiver

KEY = "k" * 32
APPLICATION = Event("e-1", "applications", "a-1", {"application_id": "a-1", "amount": 1})
DECISION = Event("e-3", "decisions", "a-1", {"application_id": "a-1", "accepted": True, "phone": "1", "offer_id": "o"})
CREDIT_LINE = Event("e-2", "FREELANCER_CREDIT_LINE_APPLICATION", "c-1", {"id": "c-1", "status": "offered"})


class Attempts(list[DeliveryAttempt]):
    """A record in memory."""

    def gaps(self) -> list[float]:
        """Return the seconds from each try's end to the begin of the next."""
        return [
            (later.at - earlier.at).total_seconds() - earlier.seconds for earlier, later in itertools.pairwise(self)
        ]


def kompar_hook(target: Receiver, topic: str = "applications", key: str | None = KEY) -> KomparHook:
    return KomparHook(f"{target.url}/{topic}", topic, "token", key)


def solaris_hook(target: Receiver) -> SolarisHook:
    return SolarisHook(f"{target.url}/solaris", CREDIT_LINE.event_type, "subscription", "secret")
