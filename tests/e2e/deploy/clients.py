"""Many clients that send without a pause, each over a connection that it keeps as long as the server does.

A client costs little processor time, so that 64 of them leave some to the servers.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

from tests.e2e.deploy.load import BODY, HEADERS, PATH
from tests.support.servers import eventually


class Answers:
    """Counts answers by status, and requests without one by error."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def await_more(self, count: int) -> None:
        """Wait for so many further answers of 200."""
        wanted = self.counts["200"] + count
        eventually(lambda: self.counts["200"] >= wanted, f"{count} more answers: {self.counts}", 60)


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
            client.join(30)


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
        except (OSError, HTTPException) as error:
            answers.counts[type(error).__name__] += 1
        finally:
            connected.close()
