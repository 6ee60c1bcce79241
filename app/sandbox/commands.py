"""`kvitto sandbox`: the providers' side."""

import os
import secrets
import sys
from collections import Counter
from pathlib import Path
from random import Random

import click

from app.sandbox import people
from app.sandbox.kompar import Answer, Sender


def _secret(name: str) -> str:
    """Return the first of a provider's shared secrets, as the receiver knows it."""
    path = os.environ.get(f"{name}_FILE")
    value = Path(path).read_text(encoding="utf-8") if path else os.environ.get(name, "")
    if not value:
        raise click.ClickException(f"set {name} or {name}_FILE to what the receiver was given, or start `kvitto up`")
    return value.split(",")[0].strip()


@click.group(epilog="Example: kvitto sandbox send --applications 100")
def sandbox() -> None:
    """Play the providers' side."""


@sandbox.command(epilog="Example: kvitto sandbox send --applications 20 --retried 3 --undecryptable 1 --seed 7")
@click.option("--url", envvar="INGEST_URL", help="The receiver; default: what `kvitto up` serves.")
@click.option("--applications", default=10, show_default=True, help="New applications.")
@click.option("--decisions", default=3, show_default=True, help="Decisions on some of them.")
@click.option(
    "--retried",
    default=2,
    show_default=True,
    help="Of them sent a second time, encrypted anew, as after a lost answer.",
)
@click.option("--corrected", default=1, show_default=True, help="Of them sent again with another amount.")
@click.option("--undecryptable", default=0, show_default=True, help="Applications under a key that the receiver lacks.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
@click.option(
    "--speed",
    default=60.0,
    show_default=True,
    help="How many times faster than Kompar's schedule to try again.",
)
def send(
    url: str | None,
    applications: int,
    decisions: int,
    retried: int,
    corrected: int,
    undecryptable: int,
    seed: int,
    speed: float,
) -> None:
    """Deliver made-up Kompar applications and decisions, with retries until each is answered 200."""
    if url is None:
        raise click.ClickException("nothing to send to: start `kvitto up`, or name the receiver with --url")
    sender = Sender(url, _secret("KOMPAR_TOKENS"), _secret("KOMPAR_KEYS").partition("=")[2], speed)
    random = Random(seed)
    made = [people.application(random) for _ in range(applications)]
    plan: list[tuple[str, dict[str, object]]] = [("applications", document) for document in made]
    plan += plan[:retried]
    plan += [("applications", document | {"amount": 750_000}) for document in made[:corrected]]
    plan += [("decisions", people.decision(random, document["application_id"])) for document in made[:decisions]]

    answers: list[Answer] = []
    with click.progressbar(plan, label="sending", file=sys.stderr) as steps:
        for topic, document in steps:
            answers += sender.deliver(topic, document)
    for _ in range(undecryptable):
        answers.append(sender.send("applications", people.application(random), key=secrets.token_hex(16)))
    sender.close()
    _summarise(answers)


def _summarise(answers: list[Answer]) -> None:
    counts = Counter(answer.status for answer in answers)
    slowest = max((answer.seconds for answer in answers), default=0.0)
    told = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(counts.items()))
    click.echo(f"{len(answers)} tries: {told or 'none'}; slowest answer {slowest * 1000:.0f} ms")
    if set(counts) - {200}:
        raise SystemExit(1)
