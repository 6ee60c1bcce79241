"""`kvitto sandbox`: the commands. `send` delivers generated events, at a rate or a number of each kind."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import click

from app.cli import param_types
from app.sandbox import fake_kompar, fake_solaris, options, sender
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS
from app.sandbox.kompar import TOPICS
from app.sandbox.serve import serve
from app.sandbox.solaris import shake_hands
from app.sandbox.workload import Step, steps

# An event or attempt that starts later than this means that the rate was not kept.
_LATE_SECONDS = 0.1
_FIGURES = """\
  tries         delivery attempts: first attempts and retries
  statuses      attempts by the status of their answer
  retried       attempts that were not the first
  delivered     deliveries that were confirmed (a duplicate counts twice, a correction separately)
  given up      deliveries without a confirmation after the last attempt
  timers lost   deliveries whose next attempt was forgotten: the fault lost-timers
  milliseconds  how long answers took: p50 is the median, 95% were faster than p95
  rate          events per second, as requested
  reached       events per second, as sent
  faults        events with each fault
  left          deliveries that were still pending when the time-out expired
  late_ms       the longest delay of an event or attempt caused by the sender itself"""
_FAULT_LIST = "\n".join(f"  {name:13}{fault.description}" for name, fault in FAULTS.items())


@click.group(context_settings={"show_default": True}, epilog="Example: kvitto sandbox send kompar --applications 100")
def sandbox() -> None:
    """Play the providers' side."""


sandbox.add_command(serve)


@sandbox.group(
    invoke_without_command=True,
    no_args_is_help=True,
    short_help="Deliver generated events.",
    help=f"Deliver generated events: at a rate, or with one of the commands below.\n\n\b\nFaults:\n{_FAULT_LIST}"
    f"\n\n\b\nFigures:\n{_FIGURES}",
    epilog="Example: kvitto sandbox send --rate 50/s --duration 10s --fault duplicate=2% --record tries.jsonl",
)
@options.url
@options.seed
@click.option("--rate", type=param_types.rate, help="Events per time, whatever the receiver's speed: 50/s.")
@click.option("--duration", type=param_types.duration, default="10s", help="How long to send.")
@click.option(
    "--weights",
    type=options.weights,
    default="applications=6,decisions=2,solaris=2",
    help="The kinds of events, and their proportions.",
)
@click.option(
    "--fault",
    "fault_shares",
    type=options.fault_share,
    multiple=True,
    metavar="NAME=SHARE%",
    help="A fault, and its share of the events that it applies to; may be repeated.",
)
@options.speed
@click.option(
    "--timeout", type=param_types.duration, default="30s", help="How long to wait for retries after the last event."
)
@click.option("--concurrency", type=click.IntRange(min=1), default=256, help="Attempts at once.")
@options.record
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def send(
    context: click.Context,
    url: str | None,
    seed: int,
    rate: float | None,
    duration: float,
    weights: Mapping[str, int],
    fault_shares: tuple[tuple[str, float], ...],
    speed: float,
    timeout: float,
    concurrency: int,
    record: Path | None,
    as_json: bool,
) -> None:
    """Send at a rate, unless a subcommand was called."""
    if context.invoked_subcommand is not None:
        if context.get_parameter_source("rate") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--rate goes without {context.invoked_subcommand}, which has a number of each kind")
        return
    if rate is None:
        raise click.UsageError("give a --rate, or one of the commands: kompar, solaris")
    if duration <= 0:
        raise click.BadParameter("give a time above 0", param_hint="--duration")
    if sum(share for _, share in fault_shares) > 1:
        raise click.BadParameter("the shares come to more than 100%", param_hint="--fault")
    event_types = set(weights) - {"solaris"} | set(fake_solaris.EVENT_TYPES if "solaris" in weights else ())
    plan = steps(seed, weights, sender.hooks(url, event_types), fault_shares)
    with sender.dispatching(speed, record, concurrency) as (dispatcher, summary):
        with _progress("sending", round(rate * duration)) as bar:
            count, reached, delay_seconds = send_at_rate(dispatcher, plan, rate, duration, bar.update)
        _await_retries(dispatcher, timeout)
        left = dispatcher.pending
    delay_seconds = max(delay_seconds, dispatcher.max_delay_seconds)
    figures: dict[str, object] = {
        "events": count,
        "tries": summary.attempts,
        "statuses": {str(status): number for status, number in sorted(summary.statuses.items())},
        "retried": summary.retried,
        "delivered": dispatcher.final_statuses["delivered"],
        "given up": dispatcher.final_statuses["given up"],
        "timers lost": dispatcher.final_statuses["lost"],
        "milliseconds": summary.milliseconds(),
        "rate": round(rate, 3),
        "reached": round(reached, 3),
        "faults": dict(sorted(summary.faults.items())),
        "left": left,
        "late_ms": round(delay_seconds * 1000, 1),
    }
    click.echo(json.dumps(figures, indent=2) if as_json else _table(figures))
    if left:
        click.echo(f"{left} deliveries were still pending: give them more --timeout, or --speed", err=True)
    if delay_seconds > _LATE_SECONDS:
        click.echo(
            f"The rate was not kept: a try began {delay_seconds:.1f} s late, because this sender was too slow. "
            "Send less, give more --concurrency, or use another machine.",
            err=True,
        )


def send_at_rate(
    dispatcher: Dispatcher, plan: Iterator[Step], rate: float, seconds: float, on_sent: Callable[[int], None]
) -> tuple[int, float, float]:
    """Send at a rate, per second, for some time, without waiting for answers; `on_sent(1)` follows every event.

    Return how many events were sent, the rate that was reached, and the longest delay of an event in seconds.
    """
    started, max_delay = time.monotonic(), 0.0
    count = max(round(rate * seconds), 1)
    for number, step in enumerate(itertools.islice(plan, count)):
        due = started + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        max_delay = max(max_delay, time.monotonic() - due)
        dispatcher.send(step.hook, step.event, step.fault)
        on_sent(1)
    # The last event has its share of the time, too.
    elapsed = max(time.monotonic() - started, count / rate)
    return count, count / elapsed, max_delay


def _await_retries(dispatcher: Dispatcher, seconds: float) -> None:
    """Wait until nothing is pending, for so many seconds at most."""
    started, left = time.monotonic(), dispatcher.pending
    with _progress("retries", left) as bar:
        while not dispatcher.wait(0.2) and time.monotonic() - started < seconds:
            bar.update(left - dispatcher.pending - bar.pos)


def _table(figures: Mapping[str, object]) -> str:
    def text(value: object) -> str:
        if isinstance(value, Mapping):
            return "  ".join(f"{name}: {count}" for name, count in value.items()) or "-"
        return str(value)

    return "\n".join(f"{name:14}{text(value)}" for name, value in figures.items())


def _progress(label: str, length: int) -> Any:
    """Return a progress bar, which is shown on a terminal only."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not length or not sys.stderr.isatty())


@send.command(epilog="Example: kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1 --seed 7")
@options.url
@options.seed
@options.count("--applications", 10, "New applications.")
@options.count("--decisions", 3, "Decisions on some of them.")
@options.count("--retried", 2, "Applications to send again, newly encrypted, as after a lost answer.")
@options.count("--corrected", 1, "Applications to send again with another amount.")
@options.count("--undecryptable", 0, "Applications encrypted under a key that the receiver lacks.")
@options.speed
@options.record
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
    hooks = sender.hooks(url, TOPICS)
    random = Random(seed)
    events = [fake_kompar.application_event(random) for _ in range(applications)]
    decided = [fake_kompar.decision_event(random, event) for event in events[:decisions]]
    plan = [Step(hooks["applications"], event) for event in events]
    plan += plan[:retried]
    plan += [Step(step.hook, step.hook.corrected(step.event)) for step in plan[: min(corrected, applications)]]
    plan += [Step(hooks["decisions"], event) for event in decided]
    for _ in range(undecryptable):
        plan.append(Step(hooks["applications"], fake_kompar.application_event(random), "wrong-key"))
    _deliver(plan, speed, record)


@send.command(epilog="Example: kvitto sandbox send solaris --credit-lines 5 --repeated 2")
@options.url
@options.seed
@options.count("--credit-lines", 3, "Credit line applications, with all events of each.")
@options.count("--overdraft-rates", 2, "Changes of overdraft rates.")
@options.count("--rejections", 2, "Rejected transactions.")
@options.count("--repeated", 1, "Events to send a second time, under the same id.")
@options.record
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
    facts = [fact for _ in range(credit_lines) for fact in fake_solaris.credit_line(random)]
    facts += [fake_solaris.overdraft_rate(random) for _ in range(overdraft_rates)]
    facts += [fake_solaris.rejected_transaction(random) for _ in range(rejections)]
    events = [fake_solaris.notification(random, *fact) for fact in facts]
    hooks = sender.hooks(url, {event.event_type for event in events})
    if (status := shake_hands(f"{url}/webhooks/solaris", sender.trust())) != 200:
        raise click.ClickException(f"{url} answered the handshake with {status or 'nothing'}: is it ingest's?")
    _deliver([Step(hooks[event.event_type], event) for event in events + events[:repeated]], 60, record)


def _deliver(plan: Sequence[Step], speed: float, record: Path | None) -> None:
    """Deliver one after the other, each with its retries, and print a summary; exit 1 unless every answer was 200."""
    with (
        sender.dispatching(speed, record, on_failure=sender.print_failure) as (dispatcher, summary),
        _progress("sending", len(plan)) as bar,
    ):
        for step in plan:
            dispatcher.send(step.hook, step.event, step.fault)
            dispatcher.wait()
            bar.update(1)
    slowest = summary.milliseconds().get("slowest", 0)
    click.echo(f"{summary.line()}; slowest answer {slowest:.0f} ms")
    if set(summary.statuses) - {200}:
        raise SystemExit(1)
