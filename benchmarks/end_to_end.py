"""End to end: the highest rate that is stored as it comes, how long a delivery takes below it, and a burst.

A rate is sustained if everything is in the ledger half a second after the last post was due.
"""

from benchmarks import bodies
from benchmarks.notifications import Listener
from benchmarks.receivers import Receiver
from benchmarks.result_files import KVITTO
from benchmarks.runner import Bench
from benchmarks.statistics import percentile

THROUGH, SUSTAINED, BURST, TUTORIAL = "through", "sustained", "burst", "tutorial"
_GRACE_SECONDS = 0.5
_HALVINGS = 4
_SHARES = (0.1, 0.5, 0.9)


def delay_figure(share: float) -> str:
    """Return the name of the p99 at a share of the sustained rate."""
    return f"receipt to row at {share:.0%} of sustained, p99"


def notice_figure(share: float) -> str:
    """Return the name of the p99 at a share of the sustained rate, up to where a consumer hears of it."""
    return f"receipt to notification at {share:.0%} of sustained, p99"


def measure(bench: Bench) -> None:
    """Measure both, then our own delays and a burst."""
    for _ in bench.pairs("end to end"):
        for receiver in (bench.setup.ours, bench.setup.theirs):
            rate = _through(bench, receiver)
            if bench.volume.search_steps:
                bench.record.add(SUSTAINED, receiver.name, _sustained(bench, receiver, rate), "/s")
        if bench.volume.search_steps:
            _delays(bench, bench.record.values(SUSTAINED)[-1])
    if bench.volume.burst_seconds:
        bench.say("a burst")
        _burst(bench)


def _through(bench: Bench, receiver: Receiver) -> float:
    """Post as fast as it is answered while all is drained; return events a second from first post to last commit."""
    with bench.sending(receiver, f"{THROUGH}, {receiver.name}") as sent:
        documents = bodies.applications(bench.volume.drained // receiver.portion)
        answers = bench.send(sent, documents)
        seconds = bench.await_stored(sent) - answers.began_at
    bench.record.add(THROUGH, receiver.name, sent.accepted / seconds, "/s")
    return sent.accepted / seconds


def _sustained(bench: Bench, receiver: Receiver, near: float) -> float:
    """Return the highest rate found to be sustained: between 0.5 and 1.5 of an estimate, or far below if none is."""
    best, low, high = 0.0, near * 0.5, near * 1.5
    for _ in range(bench.volume.search_steps):
        rate = (low + high) / 2
        if _keeps_up(bench, receiver, rate):
            best = low = rate
        else:
            high = rate
    return best or _lower(bench, receiver, rate)


def _lower(bench: Bench, receiver: Receiver, rate: float) -> float:
    """Halve a rate until it is sustained, a few times at most."""
    for _ in range(_HALVINGS):
        rate /= 2
        if _keeps_up(bench, receiver, rate):
            return rate
    bench.record.remark(f"{SUSTAINED}, {receiver.name}", "not even the lowest rate that was tried, which stands here")
    return rate


def _keeps_up(bench: Bench, receiver: Receiver, rate: float) -> bool:
    number = max(20, round(rate * bench.volume.steady_seconds))
    with bench.sending(receiver, f"{SUSTAINED}, {receiver.name}") as sent:
        answers = bench.send(sent, bodies.applications(number), rate)
        took = bench.await_stored(sent) - answers.began_at
    return sent.accepted == number and took <= number / rate + _GRACE_SECONDS


def _delays(bench: Bench, sustained: float) -> None:
    for share in _SHARES:
        number = max(20, round(sustained * share * bench.volume.steady_seconds))
        listener = Listener(bench.setup.kvitto.database)
        with listener.listening(), bench.sending(bench.setup.ours, delay_figure(share)) as sent:
            documents = bodies.applications(number)
            bench.send(sent, documents, sustained * share)
        delays = {
            delay_figure(share): bench.setup.ours.delays(sent.mark),
            notice_figure(share): listener.delays(sent.mark),
        }
        for figure, seconds in delays.items():
            bench.record.add(figure, KVITTO, percentile(seconds, 0.99) * 1000, "ms")


def _burst(bench: Bench) -> None:
    """Send in one go what is sustained in many seconds, and wait until all is stored."""
    rate = bench.record.values(SUSTAINED)[-1]
    number = max(20, round(rate * bench.volume.burst_seconds))
    with bench.sending(bench.setup.ours, BURST) as sent:
        answers = bench.send(sent, bodies.applications(number))
        stored = bench.await_stored(sent)
    behind = max(0.0, stored - answers.began_at - answers.seconds)
    bench.record.add(BURST, "deliveries", number, "")
    bench.record.add(BURST, "from first post to last answer", answers.seconds, "s")
    bench.record.add(BURST, "from last answer to last row", behind, "s")
