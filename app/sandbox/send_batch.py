"""`kvitto sandbox send kompar|solaris`: so many events of each kind, delivered one after the other."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import click

from app.audit.attempt_log import DeliveryAttempt
from app.sandbox import fake_kompar, fake_solaris, hook_config, options
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.kompar import SCHEDULE
from app.sandbox.solaris import shake_hands
from app.sandbox.summary import summing_up
from app.sandbox.workload import Step, kompar_event
from config.environment import Environment


@click.command(epilog="Example: kvitto sandbox send kompar --applications 20 --retried 3 --undecryptable 1 --seed 7")
@options.url
@options.seed
@click.option("--applications", type=options.COUNT, default=10, show_default=True, help="New applications.")
@click.option("--decisions", type=options.COUNT, default=3, show_default=True, help="Decisions on some of them.")
@click.option(
    "--retried",
    type=options.COUNT,
    default=2,
    show_default=True,
    help="Of them sent again, encrypted anew, as after a lost answer.",
)
@click.option(
    "--corrected", type=options.COUNT, default=1, show_default=True, help="Of them sent again with another amount."
)
@click.option(
    "--undecryptable",
    type=options.COUNT,
    default=0,
    show_default=True,
    help="Applications under a key that the receiver lacks.",
)
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
    hooks = hook_config.hooks(
        Environment.of_process(), url or "", hook_config.KOMPAR_TOPICS
    )  # with what the receiver has
    hook_config.receiver(url)
    random = Random(seed)

    def made_up() -> dict[str, object]:
        return fake_kompar.application(random)

    made = [kompar_event("applications", made_up()) for _ in range(applications)]
    decided = [fake_kompar.decision(random, event.entity_id, event.document) for event in made[:decisions]]
    plan = [Step(hooks["applications"], event) for event in made]
    plan += plan[:retried]
    plan += [Step(step.hook, step.hook.corrected(step.event)) for step in plan[: min(corrected, applications)]]
    plan += [Step(hooks["decisions"], kompar_event("decisions", document)) for document in decided]
    for _ in range(undecryptable):
        plan.append(Step(hooks["applications"], kompar_event("applications", made_up()), "wrong-key"))

    def tell(each: DeliveryAttempt) -> None:
        if each.status != 200 and each.attempt <= len(SCHEDULE):
            wait = SCHEDULE[each.attempt - 1] / speed
            click.echo(f"answered {each.status or 'not at all'}; next try in {wait:.1f} s", err=True)

    _deliver(plan, speed, record, tell)


@click.command(epilog="Example: kvitto sandbox send solaris --credit-lines 5 --repeated 2")
@options.url
@options.seed
@click.option(
    "--credit-lines",
    type=options.COUNT,
    default=3,
    show_default=True,
    help="Credit line applications, all events of each.",
)
@click.option("--overdraft-rates", type=options.COUNT, default=2, show_default=True, help="Changes of overdraft rates.")
@click.option("--rejections", type=options.COUNT, default=2, show_default=True, help="Rejected transactions.")
@click.option(
    "--repeated",
    type=options.COUNT,
    default=1,
    show_default=True,
    help="Of all of them sent a second time, under the same id.",
)
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
    hooks = hook_config.hooks(Environment.of_process(), url or "", {event.event_type for event in events})
    address = hook_config.receiver(url)
    if (status := shake_hands(f"{address}/webhooks/solaris", hook_config.trust())) != 200:
        raise click.ClickException(f"{address} answered the handshake with {status or 'nothing'}: is it ingest's?")
    _deliver([Step(hooks[event.event_type], event) for event in events + events[:repeated]], 60, record)


def _deliver(
    plan: Sequence[Step], speed: float, record: Path | None, *listeners: Callable[[DeliveryAttempt], None]
) -> None:
    """Deliver one after the other, each to its end, and summarise; exit 1 unless all tries were taken."""
    with (
        summing_up(record, *listeners, hook_config.CredentialDoubt()) as summary,
        Dispatcher(summary, speed, hook_config.trust()) as dispatcher,
        click.progressbar(plan, label="sending", file=sys.stderr, hidden=not sys.stderr.isatty()) as steps,
    ):
        for step in steps:
            dispatcher.send(step.hook, step.event, step.fault)
            dispatcher.wait()
    slowest = summary.milliseconds().get("slowest", 0)
    click.echo(f"{summary.told()}; slowest answer {slowest:.0f} ms")
    if set(summary.statuses) - {200}:
        raise SystemExit(1)
