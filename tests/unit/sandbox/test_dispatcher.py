"""Deliveries are tried, tried again and given up as the providers do."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from threading import Event as Flag

import pytest

from app.sandbox import kompar, solaris
from app.sandbox.dispatcher import Dispatcher
from app.sandbox.hooks import Hook
from app.sandbox.kompar import KomparHook
from app.sandbox.solaris import sign
from tests.support.dispatching import APPLICATION, CREDIT_LINE, DECISION, KEY, Attempts, kompar_hook, solaris_hook
from tests.support.fake_receiver import Answers, receiver
from tests.support.servers import eventually


def failing(times: int, status: int | None = 503) -> Answers:
    """Return a receiver's answers: so many failures, then 200."""
    return lambda requests: status if len(requests) <= times else 200


def test_event_answered_200_is_delivered_once(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver() as target:
        dispatcher.send(kompar_hook(target), APPLICATION)
        assert dispatcher.wait(60)
    (request,) = target.requests
    assert request.headers["Authorization"] == "token token"
    (each,) = attempts
    assert (each.status, each.attempt, each.event, each.entity_id) == (200, 1, "e-1", "a-1")
    assert each.receipt is not None
    assert dispatcher.final_statuses == {"delivered": 1}


@pytest.mark.parametrize("status", [202, 204, 302, 400, 401, 410, 422, 503, None])
def test_kompar_accepts_200_only_and_encrypts_every_attempt_newly(
    dispatcher: Dispatcher, attempts: Attempts, status: int | None
) -> None:
    with receiver(failing(2, status)) as target:
        dispatcher.send(kompar_hook(target), APPLICATION)
        assert dispatcher.wait(60)
    assert [each.status for each in attempts] == [status or 0, status or 0, 200]
    assert len({request.body for request in target.requests}) == 3


def test_kompar_gives_up_after_five_attempts(dispatcher: Dispatcher, attempts: Attempts) -> None:
    with receiver(lambda _: 500) as target:
        dispatcher.send(kompar_hook(target), APPLICATION)
        assert dispatcher.wait(60)
    assert [each.attempt for each in attempts] == [1, 2, 3, 4, 5]
    assert dispatcher.final_statuses == {"given up": 1}


def test_dispatcher_keeps_the_schedule_to_two_percent() -> None:
    """Measured is from a try's end to the begin of the next, by the record; of several events the best counts.

    A wait of 30 s is 50 ms here, and two percent of it one: another process may hold this one up for longer.
    """
    gaps: list[list[float]] = []

    def late() -> list[float]:
        return [
            min(waits) / (wait / 600) for waits, wait in zip(zip(*gaps, strict=True), kompar.SCHEDULE, strict=False)
        ]

    with receiver(lambda _: 500) as target:
        while len(gaps) < 2 or (max(late()) >= 1.02 and len(gaps) < 300):
            attempts = Attempts()
            with Dispatcher(attempts.append, speed=600) as dispatcher:
                dispatcher.send(
                    KomparHook(target.url, "applications", "token", KEY, waits=kompar.SCHEDULE[:3]), APPLICATION
                )
                assert dispatcher.wait(60)
            gaps.append(attempts.gaps())
    assert all(0.999 < each < 1.02 for each in late()), gaps


def test_solaris_backs_off_for_seven_days() -> None:
    assert sum(solaris.SCHEDULE) == 7 * 24 * 3600
    assert all(later == 2 * earlier for earlier, later in zip(solaris.SCHEDULE, solaris.SCHEDULE[1:-1], strict=False))


def test_solaris_keeps_the_event_id_and_counts_attempts(dispatcher: Dispatcher) -> None:
    with receiver(failing(2)) as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE)
        assert dispatcher.wait(60)
    assert [request.headers["Solaris-Webhook-Attempt"] for request in target.requests] == ["1", "2", "3"]
    assert {request.headers["Solaris-Webhook-Id"] for request in target.requests} == {"e-2"}
    assert {request.headers["Solaris-Webhook-Signature"] for request in target.requests} == {
        sign("secret", target.requests[0].body)
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_solaris_accepts_any_2xx(dispatcher: Dispatcher, status: int) -> None:
    with receiver(lambda _: status) as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE)
        assert dispatcher.wait(60)
    assert (len(target.requests), dispatcher.final_statuses) == (1, {"delivered": 1})


def test_solaris_does_not_retry_after_422(dispatcher: Dispatcher) -> None:
    with receiver(lambda _: 422) as target:
        dispatcher.send(solaris_hook(target), CREDIT_LINE)
        assert dispatcher.wait(60)
    assert (len(target.requests), dispatcher.final_statuses) == (1, {"given up": 1})


def test_status_410_cancels_the_subscription_and_its_waiting_retries() -> None:
    cancelled: list[Hook] = []
    statuses = {"e-2": 503, "e-4": 410}
    with (
        receiver(lambda requests: statuses[requests[-1].headers["Solaris-Webhook-Id"]]) as target,
        Dispatcher(None, speed=1, on_cancelled=cancelled.append) as dispatcher,
    ):
        hook = solaris_hook(target)
        dispatcher.send(hook, CREDIT_LINE)
        eventually(lambda: len(target.requests) == 1, "the first try")
        dispatcher.send(hook, replace(CREDIT_LINE, id="e-4"))
        assert dispatcher.wait(60)
    assert (cancelled, dispatcher.final_statuses) == ([hook], {"cancelled": 1, "dropped": 1})


def test_lose_timers_ends_waiting_deliveries_as_lost(attempts: Attempts) -> None:
    with receiver(lambda _: 500) as target, Dispatcher(attempts.append) as dispatcher:
        for _ in range(3):
            dispatcher.send(kompar_hook(target), APPLICATION)
        eventually(lambda: len(attempts) == 3, "three attempts failed")
        eventually(lambda: dispatcher.lose_timers() > 0, "their timers lost")
        eventually(lambda: dispatcher.lose_timers() == 0 and dispatcher.wait(0), "all of them")
    assert (len(target.requests), dispatcher.final_statuses) == (3, {"lost": 3})


def test_drop_sends_nothing_more_to_the_hook(attempts: Attempts) -> None:
    with receiver(lambda requests: 500 if requests[-1].path == "/applications" else 200) as target:  # noqa: SIM117
        with Dispatcher(attempts.append) as dispatcher:
            dispatcher.send(kompar_hook(target), APPLICATION)
            eventually(lambda: len(attempts) == 1, "a try failed")
            dispatcher.drop(kompar_hook(target))
            dispatcher.send(kompar_hook(target, "decisions"), DECISION)
            assert dispatcher.wait(60)
    assert dispatcher.final_statuses == {"dropped": 1, "delivered": 1}


def test_send_does_not_wait_for_the_receiver() -> None:
    released = Flag()

    def slowly(_: object) -> int:
        released.wait(60)
        return 200

    with receiver(slowly) as target, Dispatcher() as dispatcher:
        for _ in range(20):
            dispatcher.send(kompar_hook(target), APPLICATION)
        assert dispatcher.pending == 20
        assert not dispatcher.wait(0.1)
        released.set()
        assert dispatcher.wait(60)


def test_late_answer_counts_as_no_answer(attempts: Attempts) -> None:
    released = Flag()

    def first_hangs(requests: Sequence[object]) -> int:
        if len(requests) == 1:
            released.wait(60)
        return 200

    with receiver(first_hangs) as target, Dispatcher(attempts.append, speed=1000) as dispatcher:
        hook = KomparHook(target.url, "applications", "token", KEY, timeout_seconds=1)
        dispatcher.send(hook, APPLICATION)
        assert dispatcher.wait(60)
        released.set()
    *late, last = attempts  # a busy machine may answer a later try too late, too
    assert ({each.status for each in late}, last.status) == ({0}, 200)
    assert attempts[0].seconds >= 1


def test_unknown_host_counts_as_no_answer(dispatcher: Dispatcher, attempts: Attempts) -> None:
    dispatcher.send(KomparHook("https://no..host/", "applications", "token", KEY, waits=()), APPLICATION)
    assert dispatcher.wait(60)
    assert [each.status for each in attempts] == [0]
    assert solaris.shake_hands("https://no..host/") == 0


def test_wait_raises_what_a_hook_raised() -> None:
    with receiver() as target, Dispatcher() as dispatcher:
        dispatcher.send(kompar_hook(target, key="short"), APPLICATION)
        with pytest.raises(ValueError, match="key size"):
            dispatcher.wait(60)


def test_failed_attempt_is_reported_with_cause_and_next_step() -> None:
    lines: list[str] = []
    with receiver(failing(1)) as target, Dispatcher(speed=100, on_failure=lines.append) as dispatcher:
        dispatcher.send(kompar_hook(target), APPLICATION)
        assert dispatcher.wait(60)
        dispatcher.send(KomparHook("https://127.0.0.1:1/", "decisions", "token", KEY, waits=()), DECISION)
        assert dispatcher.wait(60)
        dispatcher.send(KomparHook("https://no..host/", "decisions", "token", KEY, waits=(1500.0, 0)), DECISION)
        eventually(lambda: len(lines) == 3, "a try that cannot find its host")
        dispatcher.send(kompar_hook(target), APPLICATION, "lost-timers")
        eventually(lambda: len(lines) == 4, "a lost timer")
    assert lines == [
        "kompar applications, attempt 1: answered 503; next try in 0.3 s",
        "kompar decisions, attempt 1: connection refused: nothing listens there; given up",
        "kompar decisions, attempt 1: unknown host name; next try in 15 s",
        "kompar applications, attempt 1: answered 200, and cut off on purpose; the timer of the next attempt is lost",
    ]


def test_missing_answer_is_reported_with_its_cause() -> None:
    lines: list[str] = []
    released = Flag()

    def hangs(_: object) -> int:
        released.wait(60)
        return 200

    with receiver(lambda _: None) as mute, receiver(hangs) as slow, Dispatcher(on_failure=lines.append) as dispatcher:
        for url, seconds in (
            (mute.url, 60.0),
            (slow.url, 0.5),
            (slow.url.replace("http", "https"), 60.0),
        ):
            dispatcher.send(KomparHook(url, "decisions", "token", KEY, waits=(), timeout_seconds=seconds), DECISION)
            assert dispatcher.wait(60)
        released.set()
    assert [line.partition(": ")[2] for line in lines] == [
        "the connection ended without an HTTP answer; given up",
        "no answer in time; given up",
        "TLS failed: is HTTPS served there?; given up",
    ]


def test_dispatcher_that_ends_with_sends_outstanding_leaves_no_task(caplog: pytest.LogCaptureFixture) -> None:
    """A corrected event follows one that was delivered, even one whose answer arrives while the dispatcher ends."""

    def end_after(answers: int) -> None:
        with receiver() as target, Dispatcher(concurrency=8) as dispatcher:
            for _ in range(40):
                dispatcher.send(kompar_hook(target), APPLICATION, "corrected")
            eventually(lambda: len(target.requests) >= answers, "answers")

    for answers in range(1, 9):
        end_after(answers)
        gc.collect()  # a task that nothing awaits is reported when it is freed
    assert [record.getMessage() for record in caplog.records] == []
