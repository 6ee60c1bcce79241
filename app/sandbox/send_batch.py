"""`kvitto sandbox send kompar|solaris`: a number of events of each kind, delivered one after the other."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import click

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox import fake_kompar, fake_solaris, hook_config, options
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.kompar import SCHEDULE, TOPICS
from app.sandbox.solaris import shake_hands
from app.sandbox.summary import summarised
from app.sandbox.workload import Step


def _count(name: str, default: int, text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    return click.option(name, type=options.COUNT, default=default, show_default=True, help=text)


@click.command(epilog="Example: kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1 --seed 7")
@options.url
@options.seed
@_count("--applications", 10, "New applications.")
@_count("--decisions", 3, "Decisions on some of them.")
@_count("--retried", 2, "Applications to send again, newly encrypted, as after a lost answer.")
@_count("--corrected", 1, "Applications to send again with another amount.")
@_count("--undecryptable", 0, "Applications encrypted under a key that the receiver lacks.")
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
    hooks = hook_config.hooks(url, TOPICS)
    random = Random(seed)
    events = [fake_kompar.application_event(random) for _ in range(applications)]
    decided = [fake_kompar.decision_event(random, event) for event in events[:decisions]]
    plan = [Step(hooks["applications"], event) for event in events]
    plan += plan[:retried]
    plan += [Step(step.hook, step.hook.corrected(step.event)) for step in plan[: min(corrected, applications)]]
    plan += [Step(hooks["decisions"], event) for event in decided]
    for _ in range(undecryptable):
        event = fake_kompar.application_event(random)
        plan.append(Step(hooks["applications"], event, "wrong-key"))

    def report_retry(attempt: DeliveryAttempt) -> None:
        if attempt.status != 200 and attempt.attempt <= len(SCHEDULE):
            wait = SCHEDULE[attempt.attempt - 1] / speed
            click.echo(f"answered {attempt.status or 'not at all'}; next try in {wait:.1f} s", err=True)

    _deliver(plan, speed, record, report_retry)


@click.command(epilog="Example: kvitto sandbox send solaris --credit-lines 5 --repeated 2")
@options.url
@options.seed
@_count("--credit-lines", 3, "Credit line applications, with all events of each.")
@_count("--overdraft-rates", 2, "Changes of overdraft rates.")
@_count("--rejections", 2, "Rejected transactions.")
@_count("--repeated", 1, "Events to send a second time, under the same id.")
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
    hooks = hook_config.hooks(url, {event.event_type for event in events})
    if (status := shake_hands(f"{url}/webhooks/solaris", hook_config.trust())) != 200:
        raise click.ClickException(f"{url} answered the handshake with {status or 'nothing'}: is it ingest's?")
    _deliver([Step(hooks[event.event_type], event) for event in events + events[:repeated]], 60, record)


def _deliver(
    plan: Sequence[Step], speed: float, record: Path | None, *listeners: Callable[[DeliveryAttempt], None]
) -> None:
    """Deliver one after the other, each with its retries, and print a summary; exit 1 unless every answer was 200."""
    with (
        summarised(record, *listeners, hook_config.CredentialHint()) as summary,
        Dispatcher(summary.add, speed, hook_config.trust()) as dispatcher,
        click.progressbar(plan, label="sending", file=sys.stderr, hidden=not sys.stderr.isatty()) as steps,
    ):
        for step in steps:
            dispatcher.send(step.hook, step.event, step.fault)
            dispatcher.wait()
    slowest = summary.milliseconds().get("slowest", 0)
    click.echo(f"{summary.line()}; slowest answer {slowest:.0f} ms")
    if set(summary.statuses) - {200}:
        raise SystemExit(1)
