"""`kvitto sandbox`: the providers' side."""

import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import click
import httpx

from app.sandbox import kompar as kompars
from app.sandbox import people
from app.sandbox import solaris as solarises
from app.sandbox.answers import Answer
from config.environment import Environment

T = TypeVar("T")
_COUNT = click.IntRange(min=0)


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
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"nothing answers at {url}: start `kvitto up`, or correct --url") from error
    return url


@send.command(epilog="Example: kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1 --seed 7")
@_url
@_seed
@click.option("--applications", type=_COUNT, default=10, show_default=True, help="New applications.")
@click.option("--decisions", type=_COUNT, default=3, show_default=True, help="Decisions on some of them.")
@click.option(
    "--retried",
    type=_COUNT,
    default=2,
    show_default=True,
    help="Of them sent again, encrypted anew, as after a lost answer.",
)
@click.option("--corrected", type=_COUNT, default=1, show_default=True, help="Of them sent again with another amount.")
@click.option(
    "--undecryptable",
    type=_COUNT,
    default=0,
    show_default=True,
    help="Applications under a key that the receiver lacks.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="How many times faster than Kompar's schedule to try again.",
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
    environment = Environment.of_process()  # what the receiver was given
    keys, tokens = environment.labelled_secrets("KOMPAR_KEYS"), environment.secrets("KOMPAR_TOKENS")
    if any(len(key.encode()) != 32 for _, key in keys):
        environment.fault("KOMPAR_KEYS", "holds a key that is not 32 characters long", "Give what the receiver has")
    environment.check()
    sender = kompars.Sender(_receiver(url), tokens[0], keys[0][1], speed)
    random = Random(seed)
    made = [people.application(random) for _ in range(applications)]
    plan: list[tuple[str, dict[str, object]]] = [("applications", document) for document in made]
    plan += plan[:retried]
    plan += [("applications", document | {"amount": 750_000}) for document in made[:corrected]]
    plan += [("decisions", people.decision(random, document["application_id"])) for document in made[:decisions]]

    answers: list[Answer] = []
    with _progress(plan) as steps:
        for topic, document in steps:
            answers += sender.deliver(topic, document)
    for _ in range(undecryptable):
        answers.append(sender.send("applications", people.application(random), key=secrets.token_hex(16)))
    sender.close()
    _summarise(answers)


@send.command(epilog="Example: kvitto sandbox send solaris --credit-lines 5 --repeated 2")
@_url
@_seed
@click.option(
    "--credit-lines", type=_COUNT, default=3, show_default=True, help="Credit line applications, two events each."
)
@click.option("--overdraft-rates", type=_COUNT, default=2, show_default=True, help="Changes of overdraft rates.")
@click.option("--rejections", type=_COUNT, default=2, show_default=True, help="Rejected transactions.")
@click.option(
    "--repeated",
    type=_COUNT,
    default=1,
    show_default=True,
    help="Of all of them sent a second time, under the same id.",
)
def solaris(
    url: str | None, seed: int, credit_lines: int, overdraft_rates: int, rejections: int, repeated: int
) -> None:
    """Deliver a bank's events: a handshake, credit lines, overdraft rates, rejected transactions."""
    environment = Environment.of_process()
    known = dict(environment.labelled_secrets("SOLARIS_SECRETS"))
    random = Random(seed)
    events = [event for _ in range(credit_lines) for event in solarises.credit_line(random)]
    events += [solarises.overdraft_rate(random) for _ in range(overdraft_rates)]
    events += [solarises.rejected_transaction(random) for _ in range(rejections)]
    plan = [(event_type, document, f"{random.getrandbits(128):032x}") for event_type, document in events]
    for event_type in sorted({event_type for event_type, _ in events} - known.keys()):
        environment.fault("SOLARIS_SECRETS", f"lacks {event_type}", f"Add {event_type}=SECRET")
    environment.check()

    sender = solarises.Sender(_receiver(url), known)
    answers = [sender.shake_hands()]
    with _progress(plan + plan[:repeated]) as steps:
        for event_type, document, webhook_id in steps:
            answers.append(sender.send(event_type, document, webhook_id))
    sender.close()
    _summarise(answers)


@contextmanager
def _progress(plan: Sequence[T]) -> Iterator[Iterator[T]]:
    """Show a bar on a terminal, and nothing in a pipe."""
    with click.progressbar(plan, label="sending", file=sys.stderr, hidden=not sys.stderr.isatty()) as steps:
        yield iter(steps)


def _summarise(answers: list[Answer]) -> None:
    counts = Counter(answer.status for answer in answers)
    slowest = max((answer.seconds for answer in answers), default=0.0)
    told = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(counts.items()))
    click.echo(f"{len(answers)} tries: {told or 'none'}; slowest answer {slowest * 1000:.0f} ms")
    if set(counts) - {200}:
        raise SystemExit(1)
