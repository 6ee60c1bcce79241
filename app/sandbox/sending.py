"""`kvitto sandbox send`: deliver made-up events to a receiver."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from random import Random
from uuid import uuid4

import click

from app.recording import Recording, Try
from app.sandbox import parties, people
from app.sandbox import solaris as solarises
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Event, Hook
from app.sandbox.kompar import SCHEDULE
from app.sandbox.summary import Summary
from config.environment import Environment

# What is sent, where, and what goes wrong with it.
Step = tuple[Hook, Event, str | None]
_COUNT = click.IntRange(min=0)


@click.group(epilog="Example: kvitto sandbox send kompar --applications 20")
def send() -> None:
    """Deliver made-up events."""


_url = click.option("--url", envvar="INGEST_URL", help="The receiver; default: what `kvitto up` serves.")
_seed = click.option("--seed", default=1, show_default=True, help="The same seed makes the same people.")
_record = click.option(
    "--record",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Add every try and its answer to this file, for `kvitto audit --against`.",
)


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
@_record
def kompar(
    url: str | None,
    seed: int,
    applications: int,
    decisions: int,
    retried: int,
    corrected: int,
    undecryptable: int,
    speed: float,
    record: Path | None,
) -> None:
    """Deliver loan applications and decisions, with retries until each is answered 200."""
    hooks = parties.kompar_hooks(Environment.of_process(), url or "")  # with what the receiver was given
    parties.receiver(url)
    random = Random(seed)
    made = [_event("applications", people.application(random)) for _ in range(applications)]
    plan: list[Step] = [(hooks["applications"], event, None) for event in made]
    plan += plan[:retried]
    plan += [(hooks["applications"], hooks["applications"].corrected(event), None) for event in made[:corrected]]
    for event in made[:decisions]:
        plan.append((hooks["decisions"], _event("decisions", people.decision(random, event.entity_id)), None))
    for _ in range(undecryptable):
        plan.append((hooks["applications"], _event("applications", people.application(random)), "wrong-key"))

    def tell(each: Try) -> None:
        if each.status != 200 and each.attempt <= len(SCHEDULE):
            wait = SCHEDULE[each.attempt - 1] / speed
            click.echo(f"answered {each.status or 'not at all'}; next try in {wait:.1f} s", err=True)

    _deliver(plan, speed, record, tell)


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
@_record
def solaris(
    url: str | None,
    seed: int,
    credit_lines: int,
    overdraft_rates: int,
    rejections: int,
    repeated: int,
    record: Path | None,
) -> None:
    """Deliver a bank's events: a handshake, credit lines, overdraft rates, rejected transactions."""
    random = Random(seed)
    told = [event for _ in range(credit_lines) for event in solarises.credit_line(random)]
    told += [solarises.overdraft_rate(random) for _ in range(overdraft_rates)]
    told += [solarises.rejected_transaction(random) for _ in range(rejections)]
    events = [solarises.event(random, event_type, document) for event_type, document in told]
    hooks = parties.solaris_hooks(Environment.of_process(), url or "", {event.event_type for event in events})
    address = parties.receiver(url)
    if (status := solarises.shake_hands(f"{address}/webhooks/solaris")) != 200:
        raise click.ClickException(f"{address} answered the handshake with {status or 'nothing'}: is it ingest's?")
    _deliver([(hooks[event.event_type], event, None) for event in events + events[:repeated]], 60, record)


def _event(topic: str, document: dict[str, object]) -> Event:
    return Event(str(uuid4()), topic, str(document["application_id"]), document)


def _deliver(
    plan: Sequence[Step], speed: float, record: Path | None, tell: Callable[[Try], None] | None = None
) -> None:
    """Deliver one after the other, each to its end, and summarise; exit 1 unless all tries were taken."""
    with closing(Recording(record)) if record else nullcontext() as recording:
        summary = Summary(recording, tell)
        with (
            Dispatcher(summary, speed) as dispatcher,
            click.progressbar(plan, label="sending", file=sys.stderr, hidden=not sys.stderr.isatty()) as steps,
        ):
            for hook, event, fault in steps:
                dispatcher.send(hook, event, fault)
                dispatcher.wait()
    slowest = summary.milliseconds().get("slowest", 0)
    click.echo(f"{summary.told()}; slowest answer {slowest:.0f} ms")
    if set(summary.statuses) - {200}:
        raise SystemExit(1)
