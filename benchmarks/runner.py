"""One run of the benchmarks: posts, waits, audits, and notes what came of it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import bodies, load
from benchmarks.bench_environment import Setup
from benchmarks.load import Answers
from benchmarks.receivers import HEADERS, Receiver
from benchmarks.result_files import Record
from benchmarks.workload_size import Volume

_DRAINED_SECONDS = 1800.0
_LOOK_SECONDS = 0.2


@dataclass(slots=True)
class Sent:
    """What a receiver was sent since its `mark`, in which run."""

    receiver: Receiver
    what: str
    mark: Any
    posted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement works with. `folder`: where pictures are kept."""

    setup: Setup
    volume: Volume
    folder: Path
    record: Record = field(default_factory=Record)
    say: Callable[[str], None] = lambda _: None
    connections: int = load.CONNECTIONS

    def pairs(self, what: str, few: bool = False) -> Iterator[int]:
        """Count the pairs of a measurement, or only a few of them, and say how far it is."""
        most = self.volume.few_pairs if few else self.volume.pairs
        for number in range(most):
            self.say(f"{what}, {number + 1} of {most}")
            yield number

    def post(
        self,
        url: str,
        what: str,
        documents: Iterable[dict[str, object]],
        rate: float | None = None,
        warm: float = 0.1,
    ) -> Answers:
        """Post documents, of which a share is to warm up; what casts doubt on it is remarked."""
        path = self.setup.folder / "bodies"
        number = bodies.write(path, documents)
        answers = load.post(url, HEADERS, path, rate, round(number * warm), self.connections)
        self.record.remark(what, answers.bottleneck)
        if answers.accepted < answers.posted:
            self.record.remark(what, f"{answers.posted - answers.accepted} of {answers.posted} not answered 200")
        return answers

    @contextmanager
    def sending(self, receiver: Receiver, what: str, new: bool = True) -> Iterator[Sent]:
        """Open a run that ends when all that it sent is stored, and with the audit where there is one."""
        books = receiver.books()
        sent = Sent(receiver, what, receiver.mark())
        yield sent
        self.await_stored(sent)
        fault = books and books.close(sent.posted, sent.accepted, new)
        if fault:
            self.record.voids.append(f"{what}: {fault}")

    def send(
        self, sent: Sent, documents: Iterable[dict[str, object]], rate: float | None = None, warm: float = 0
    ) -> Answers:
        """Post documents within a run, of which all are audited, and a share is to warm up."""
        answers = self.post(sent.receiver.url, sent.what, documents, rate, warm)
        sent.posted += answers.posted
        sent.accepted += answers.accepted
        return answers

    @staticmethod
    def await_stored(sent: Sent) -> float:
        """Wait until as many rows were committed as were answered 200; return when the last was.

        Looks seldom: looking takes CPU from what is measured, and Postgres knows the moment of a commit afterwards.
        """
        deadline = time.monotonic() + _DRAINED_SECONDS
        while True:
            rows, last = sent.receiver.committed(sent.mark)
            if rows >= sent.accepted:
                return last
            assert time.monotonic() < deadline, f"{sent.receiver.name} stored {rows} of {sent.accepted}"
            time.sleep(_LOOK_SECONDS)
