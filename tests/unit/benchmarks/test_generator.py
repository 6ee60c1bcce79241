"""The load generator: every body once, latencies from the due time, and its own limits reported."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.load import Answers, post


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate = threading.Lock()
    closing = False
    stall_seconds = 0.0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.gate:
            time.sleep(self.stall_seconds)
            type(self).stall_seconds = 0.0
        self.send_response(503 if body == b"refuse" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 512


@contextmanager
def answering(closing: bool = False, stall_seconds: float = 0.0) -> Iterator[str]:
    """Serve echoes; the first answer, and all that wait behind it, may stall."""
    handler = type("Handler", (_Handler,), {"closing": closing, "stall_seconds": stall_seconds})
    with _Server(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/path"
        finally:
            server.shutdown()
            serving.join()


def posted(folder: Path, url: str, found: list[bytes], rate: float | None = None, warm: int = 0) -> Answers:
    path = folder / "bodies"
    path.write_bytes(b"".join(len(body).to_bytes(4, "big") + body for body in found))
    return post(url, {"Content-Type": "text/plain"}, path, rate, warm)


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("rate", [None, 500.0])
def test_every_body_is_posted_once(tmp_path: Path, closing: bool, rate: float | None) -> None:
    with answering(closing) as url:
        answers = posted(tmp_path, url, [b"x" * 10] * 90 + [b"refuse"] * 10, rate)
    assert answers.statuses == {"200": 90, "503": 10}
    assert answers.accepted == 90


def test_a_body_larger_than_any_buffer_is_sent_whole(tmp_path: Path) -> None:
    with answering() as url:
        assert posted(tmp_path, url, [bytes(8_000_000)] * 3).accepted == 3


def test_a_fixed_rate_is_held(tmp_path: Path) -> None:
    with answering() as url:
        answers = posted(tmp_path, url, [b"x"] * 100, rate=200.0)
    assert answers.seconds >= 99 / 200


def test_latency_counts_from_the_due_time_for_all_that_a_stall_delays(tmp_path: Path) -> None:
    with answering(stall_seconds=0.5) as url:
        answers = posted(tmp_path, url, [b"x"] * 200, rate=200.0)
    # A closed generator would have seen 32 slow answers; of an open one's, half were due during the stall.
    assert answers.latency["1.0"] >= 0.5
    assert answers.latency["0.75"] >= 0.1


def test_a_generator_that_is_late_by_its_own_fault_says_so(tmp_path: Path) -> None:
    with answering() as url:
        answers = posted(tmp_path, url, [bytes(200_000)] * 190, rate=1e6)
    assert answers.bottleneck is not None, answers


@pytest.mark.parametrize(
    ("cpu_share", "late", "words"),
    [(0.95, 0.0, "95% of a core"), (0.2, 0.02, "20 ms late"), (0.2, 0.001, None)],
)
def test_the_bottleneck_is_reported_in_words(cpu_share: float, late: float, words: str | None) -> None:
    answers = Answers(1, {}, 1.0, 0.0, 1.0, cpu_share, {}, {"0.99": late})
    assert (words or "None") in str(answers.bottleneck)
