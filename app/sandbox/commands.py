"""`kvitto sandbox`: the providers' side."""

import os
import secrets
import sys
from collections import Counter
from pathlib import Path
from random import Random

import click
import httpx

from app.sandbox import kompar as kompars
from app.sandbox import people
from app.sandbox import solaris as solarises
from app.sandbox.answers import Answer


def _secrets(name: str) -> list[str]:
    """Return a provider's shared secrets, as the receiver knows them."""
    path = os.environ.get(f"{name}_FILE")
    value = Path(path).read_text(encoding="utf-8") if path else os.environ.get(name, "")
    if not value:
        raise click.ClickException(f"set {name} or {name}_FILE to what the receiver was given, or start `kvitto up`")
    return [item.strip() for item in value.split(",")]


def _secret(name: str) -> str:
    return _secrets(name)[0]


@click.group(epilog="Example: kvitto sandbox send kompar --applications 100")
def sandbox() -> None:
    """Play the providers' side."""


@sandbox.group(epilog="Example: kvitto sandbox send kompar --applications 20")
def send() -> None:
    """Deliver made-up events."""


_url = click.option("--url", envvar="INGEST_URL", help="The receiver; default: what `kvitto up` serves.")
_seed = click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")


def _receiver(url: str | None) -> str:
    if url is None:
        raise click.ClickException("nothing to send to: start `kvitto up`, or name the receiver with --url")
    try:
        httpx.get(f"{url}/livez", timeout=5)
    except httpx.HTTPError as error:
        raise click.ClickException(f"nothing answers at {url}: start `kvitto up`, or correct --url") from error
    return url


@send.command(epilog="Example: kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1 --seed 7")
@_url
@_seed
@click.option("--applications", default=10, show_default=True, help="New applications.")
@click.option("--decisions", default=3, show_default=True, help="Decisions on some of them.")
@click.option(
    "--retried", default=2, show_default=True, help="Of them sent again, encrypted anew, as after a lost answer."
)
@click.option("--corrected", default=1, show_default=True, help="Of them sent again with another amount.")
@click.option("--undecryptable", default=0, show_default=True, help="Applications under a key that the receiver lacks.")
@click.option(
    "--speed", default=60.0, show_default=True, help="How many times faster than Kompar's schedule to try again."
)
def kompar(
    url: str | None,
    seed: int,
    applications: int,
    decisions: int,
    retried: int,
    corrected: int,
    undecryptable: int,
    speed: float,
) -> None:
    """Deliver loan applications and decisions, with retries until each is answered 200."""
    key = _secret("KOMPAR_KEYS").partition("=")[2]
    sender = kompars.Sender(_receiver(url), _secret("KOMPAR_TOKENS"), key, speed)
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


@send.command(epilog="Example: kvitto sandbox send solaris --credit-lines 5 --repeated 2")
@_url
@_seed
@click.option("--credit-lines", default=3, show_default=True, help="Credit line applications, two events each.")
@click.option("--overdraft-rates", default=2, show_default=True, help="Changes of overdraft rates.")
@click.option("--rejections", default=2, show_default=True, help="Rejected transactions.")
@click.option("--repeated", default=1, show_default=True, help="Of all of them sent a second time, under the same id.")
def solaris(
    url: str | None, seed: int, credit_lines: int, overdraft_rates: int, rejections: int, repeated: int
) -> None:
    """Deliver a bank's events: a handshake, credit lines, overdraft rates, rejected transactions."""
    known = dict(pair.split("=", 1) for pair in _secrets("SOLARIS_SECRETS"))
    sender = solarises.Sender(_receiver(url), known)
    random = Random(seed)
    events = [event for _ in range(credit_lines) for event in solarises.credit_line(random)]
    events += [solarises.overdraft_rate(random) for _ in range(overdraft_rates)]
    events += [solarises.rejected_transaction(random) for _ in range(rejections)]
    plan = [(event_type, document, f"{random.getrandbits(128):032x}") for event_type, document in events]

    answers = [sender.shake_hands()]
    with click.progressbar(plan + plan[:repeated], label="sending", file=sys.stderr) as steps:
        for event_type, document, webhook_id in steps:
            answers.append(sender.send(event_type, document, webhook_id))
    sender.close()
    _summarise(answers)


def _summarise(answers: list[Answer]) -> None:
    counts = Counter(answer.status for answer in answers)
    slowest = max((answer.seconds for answer in answers), default=0.0)
    told = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(counts.items()))
    click.echo(f"{len(answers)} tries: {told or 'none'}; slowest answer {slowest * 1000:.0f} ms")
    if set(counts) - {200}:
        raise SystemExit(1)
