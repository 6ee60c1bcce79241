"""Whether deliveries reach the ledger, judged by canaries, which take the same path."""

from collections.abc import Iterable, Iterator

from app.storage import reports
from app.storage.connection import Connection


def problems(connection: Connection, providers: Iterable[str], limit_seconds: int) -> list[str]:
    """Return a sentence for each provider whose newest canary is older than the limit, or that has none.

    Empty if no provider has ever had a canary, since canaries are optional, or if the limit is 0. The database's clock
    counts; a sender whose clock is slow makes its canaries look older.
    """
    ages = {row["provider"]: row["age_seconds"] for row in reports.canaries(connection)}
    return list(_problems(ages, providers, limit_seconds)) if ages and limit_seconds else []


def _problems(ages: dict[str, float], providers: Iterable[str], limit_seconds: int) -> Iterator[str]:
    for provider in providers:
        age = ages.get(provider)
        if age is None:
            yield f"{provider}: no canary has arrived yet. Check beat, ingest and the worker."
        elif age > limit_seconds:
            yield (
                f"{provider}: the newest canary is {age:.0f} s old, more than {limit_seconds} s. "
                "Check the worker, beat and ingest, and beat's clock."
            )
