"""Whether deliveries reach the ledger: judged by the canaries, which travel the same path."""

from collections.abc import Iterable

from app.storage import reports
from app.storage.connection import Connection


def doubts(connection: Connection, providers: Iterable[str], limit_seconds: int) -> list[str]:
    """Return a sentence for every provider whose newest canary is too old.

    Nothing where no canary has ever arrived, since they are optional, or under a limit of 0. Ages are by the
    database's clock; what a sender's clock is behind is added to them.
    """
    ages = {row["provider"]: row["age_seconds"] for row in reports.canaries(connection)}
    return [
        sentence
        for provider in providers
        if ages and limit_seconds and (sentence := _doubt(provider, ages.get(provider), limit_seconds))
    ]


def _doubt(provider: str, age_seconds: float | None, limit_seconds: int) -> str:
    if age_seconds is None:
        return f"{provider}: no canary has arrived yet. Look at beat, ingest and its worker."
    if age_seconds <= limit_seconds:
        return ""
    told = f"{provider}: the newest canary is {age_seconds:.0f} s old, more than {limit_seconds} s."
    return f"{told} Look at its worker, at beat and ingest, and at the clock of beat."
