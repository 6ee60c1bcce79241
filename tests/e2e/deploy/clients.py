"""Many clients that send again and again, each over a connection that it keeps as long as the server does."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

from tests.e2e.deploy.load import BODY, HEADERS, PATH
from tests.support.servers import eventually

# Between an answer and the next request of a client: what is under test needs the processors too.
_PAUSE_SECONDS = 0.05


class Answers:
    """Counts answers by status, and requests without one by error."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def await_more(self, count: int) -> None:
        """Wait for so many further answers of 200."""
        wanted = self.counts["200"] + count
        eventually(lambda: self.counts["200"] >= wanted, f"{count} more answers: {self.counts}")


@contextmanager
def sending(count: int, connection: Callable[[int], HTTPConnection]) -> Iterator[Answers]:
    """Send from so many clients during a block; `connection` returns a new one for the client of a number."""
    answers, ended = Answers(), threading.Event()
    clients = [threading.Thread(target=_send, args=(number, connection, answers, ended)) for number in range(count)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        ended.set()
        for client in clients:
            client.join(60)


def _send(number: int, connection: Callable[[int], HTTPConnection], answers: Answers, ended: threading.Event) -> None:
    while not ended.is_set():
        connected = connection(number)
        try:
            connected.connect()
            while connected.sock is not None and not ended.is_set():  # the server closes it with an answer
                connected.request("POST", PATH, BODY, HEADERS)
                response = connected.getresponse()
                response.read()
                answers.counts[str(response.status)] += 1
                ended.wait(_PAUSE_SECONDS)
        except (OSError, HTTPException) as error:
            answers.counts[type(error).__name__] += 1
        finally:
            connected.close()
