"""`kvitto sandbox send`: made-up events at a rate, faults on some, and what came of it."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from app.cli import param_types
from app.sandbox import fake_solaris, hook_config, options, send_batch
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.faults import FAULTS
from app.sandbox.summary import Summary, summing_up
from app.sandbox.workload import Step, steps
from config.environment import Environment

# How late an event or a try may begin before the rate counts as not kept.
LATE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """How events were sent: `rate` was asked for, `reached` is what came of it, both per second.

    latest_seconds: by how much the latest event was asked for too late.
    """

    events: int
    rate: float
    reached: float
    latest_seconds: float


_EVENT_TYPES = {"solaris": fake_solaris.EVENT_TYPES}
_FIGURES = """\
  tries         requests: of an event's first try and its retries, each once
  statuses      tries by how they were answered
  retried       tries that were not their event's first
  delivered     deliveries that were confirmed (an event sent twice counts twice, its correction as another)
  given up      deliveries without a confirmation after their last try
  timers lost   deliveries whose next try was forgotten: the fault lost-timers
  milliseconds  how long answers took: p50 is the median, p95 what 95% stayed below
  rate          events a second, as asked for
  reached       events a second, as sent
  faults        events that each fault befell
  left          deliveries that were not at their end when patience was
  late_ms       by how much the latest event or try began too late: the sender's own fault"""
_LIST = "\n".join(f"  {fault.name:13}{fault.description}" for fault in FAULTS.values())


@click.group(
    invoke_without_command=True,
    no_args_is_help=True,
    short_help="Deliver made-up events.",
    help=f"Deliver made-up events: at a rate, or with one of the commands below.\n\n\b\nFaults:\n{_LIST}"
    f"\n\n\b\nFigures:\n{_FIGURES}",
    epilog="Example: kvitto sandbox send --rate 50/s --for 10s --fault duplicate=2% --record tries.jsonl",
)
@options.url
@options.seed
@click.option("--rate", type=param_types.rate, help="How many events in a time, be the receiver fast or slow: 50/s.")
@click.option("--for", "seconds", type=param_types.duration, default="10s", show_default=True, help="How long to send.")
@click.option(
    "--mix",
    type=options.mix,
    default="applications=6,decisions=2,solaris=2",
    show_default=True,
    help="What is sent, in which proportion.",
)
@click.option(
    "--fault",
    "faults",
    type=options.fault_share,
    multiple=True,
    metavar="NAME=SHARE%",
    help="What goes wrong, and with how many of those events that it can befall; may be repeated.",
)
@options.speed
@click.option(
    "--patience",
    type=param_types.duration,
    default="30s",
    show_default=True,
    help="How long to wait for retries after the last event.",
)
@click.option("--lanes", type=click.IntRange(min=1), default=256, show_default=True, help="Tries at once, at most.")
@options.record
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def send(
    context: click.Context,
    url: str | None,
    seed: int,
    rate: float | None,
    seconds: float,
    mix: Mapping[str, int],
    faults: tuple[tuple[str, float], ...],
    speed: float,
    patience: float,
    lanes: int,
    record: Path | None,
    as_json: bool,
) -> None:
    """Send at a rate, unless one of the commands was called."""
    if context.invoked_subcommand is not None:
        if context.get_parameter_source("rate") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--rate goes without {context.invoked_subcommand}, which has a number of each kind")
        return
    if rate is None:
        raise click.UsageError("give a --rate, or one of the commands: kompar, solaris")
    if seconds <= 0:
        raise click.BadParameter("give a time above 0", param_hint="--for")
    if sum(share for _, share in faults) > 1:
        raise click.BadParameter("the shares come to more than 100%", param_hint="--fault")
    event_types = {event_type for kind in mix for event_type in _EVENT_TYPES.get(kind, (kind,))}
    hooks = hook_config.hooks(Environment.of_process(), url or "", event_types)
    hook_config.receiver(url)
    with summing_up(record, hook_config.CredentialDoubt()) as summary:
        with Dispatcher(summary, speed, hook_config.trust(), lanes=lanes) as dispatcher:
            pace = _watched(dispatcher, steps(seed, mix, hooks, faults), rate, seconds)
            _await_retries(dispatcher, patience)
            left = dispatcher.pending
        late_seconds = max(pace.latest_seconds, dispatcher.latest_seconds)
        told = _told(summary, dispatcher, pace) | {"left": left, "late_ms": round(late_seconds * 1000, 1)}
    _report(told, as_json)
    if left:
        click.echo(f"{left} deliveries were not at their end: give them more --patience, or --speed", err=True)
    if late_seconds > LATE_SECONDS:
        click.echo(
            f"The rate was not kept: a try began {late_seconds:.1f} s late, for want of time or of lanes here. "
            "Send less, take more --lanes, or another machine.",
            err=True,
        )


send.add_command(send_batch.kompar)
send.add_command(send_batch.solaris)


def _watched(dispatcher: Dispatcher, plan: Iterator[Step], rate: float, seconds: float) -> Pace:
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=round(rate * seconds), label="sending", file=sys.stderr, hidden=hidden) as bar:
        return run(dispatcher, plan, rate, seconds, bar.update)


def _await_retries(dispatcher: Dispatcher, patience: float) -> None:
    """Wait for what is pending, for so many seconds at most."""
    began, left = time.monotonic(), dispatcher.pending
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=left, label="retries", file=sys.stderr, hidden=hidden or not left) as bar:
        while not dispatcher.wait(0.2) and time.monotonic() - began < patience:
            bar.update(left - dispatcher.pending - bar.pos)


def _told(summary: Summary, dispatcher: Dispatcher, pace: Pace) -> dict[str, object]:
    return {
        "events": pace.events,
        "tries": summary.tries,
        "statuses": {str(status): count for status, count in sorted(summary.statuses.items())},
        "retried": summary.retried,
        "delivered": dispatcher.endings["delivered"],
        "given up": dispatcher.endings["given up"],
        "timers lost": dispatcher.endings["lost"],
        "milliseconds": summary.milliseconds(),
        "rate": round(pace.rate, 3),
        "reached": round(pace.reached, 3),
        "faults": dict(sorted(summary.faults.items())),
    }


def _report(told: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    for name, value in told.items():
        click.echo(f"{name:14}{_written(value)}")


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name or 'no answer'}: {count}" for name, count in value.items()) or "-"
    return str(value)


def run(
    dispatcher: Dispatcher, steps: Iterator[Step], rate: float, seconds: float, tick: Callable[[int], None]
) -> Pace:
    """Send at a rate, per second, for some time; `tick` is told of every event. Answers are not waited for."""
    began, latest = time.monotonic(), 0.0
    wanted = max(round(rate * seconds), 1)
    for number, step in enumerate(itertools.islice(steps, wanted)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        latest = max(latest, time.monotonic() - due)
        dispatcher.send(step.hook, step.event, step.fault)
        tick(1)
    # The last has its share of the time, too.
    took = max(time.monotonic() - began, wanted / rate)
    return Pace(wanted, rate, wanted / took, latest)
