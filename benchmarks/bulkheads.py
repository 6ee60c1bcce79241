"""Does a burst of one provider delay another? Solaris' latency with and without a burst of Kompar deliveries.

Latency is from receipt (the inbox's clock) to the row in the ledger. The baseline is Solaris' own
p99 in the same run, before the burst. Every run ends with the audit; one that lost anything is void.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg

from app.sandbox import fake_kompar
from app.sandbox.hooks import Event
from app.sandbox.kompar import encrypt
from app.sandbox.solaris import SolarisHook
from benchmarks.result_files import KVITTO, Record
from benchmarks.workload_size import Volume

GOAL = 3.0
FIGURE, ALONE = "Solaris under a burst of Kompar, p99", "Solaris alone"
RATE = 20.0
SECRET = "5ec2e7" * 3
TOKEN, KEY = "token-of-this-run", "k" * 32
EVENT_TYPE = "FREELANCER_CREDIT_LINE_APPLICATION"


@dataclass(frozen=True)
class Served:
    """A Kvitto under test."""

    ingest: str
    database: str
    data: str


@contextmanager
def serving() -> Iterator[Served]:
    """Run `kvitto up` on a folder of its own."""
    environment = {
        "KOMPAR_TOKENS": TOKEN,
        "KOMPAR_KEYS": f"a={KEY}",
        "SOLARIS_SECRETS": f"{EVENT_TYPE}={SECRET}",
        "INGEST_BIND": "127.0.0.1:0",
        "CONSOLE_BIND": "127.0.0.1:0",
        "PATH": "/usr/bin:/bin",
    }
    with tempfile.TemporaryDirectory(prefix="kvitto-bench-") as data:
        line = [sys.executable, "-m", "app.cli", "--data", data, "up", "--concurrency", "1"]
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as up:
            try:
                assert up.stdout is not None
                said = dict(item.split("=", 1) for item in up.stdout.readline().split()[2:])
                yield Served(said["ingest"], said["database"], data)
            finally:
                up.terminate()


def burst(url: str, bodies: list[bytes], started: Any) -> None:
    """Post all bodies as fast as they are answered.

    Senders stand for other machines: they take what the processors leave, so as not to be what is measured.
    """
    os.nice(19)
    headers = {"Authorization": f"token {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        started.wait()
        for body in bodies:
            client.post("/webhooks/kompar/applications", content=body).raise_for_status()


def trickle(served: Served, seconds: float, until_drained: bool = False) -> list[str]:
    """Send Solaris events at a fixed rate, for so long, and longer while Kompar's inbox is drained; return receipts."""
    hook = SolarisHook(f"{served.ingest}/webhooks/solaris", EVENT_TYPE, "subscription", SECRET)
    client = httpx.Client(timeout=hook.timeout_seconds)
    random = Random()
    receipts: list[str] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds or (until_drained and pending(served) > 0):
        due = began + len(receipts) / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        entity = f"{random.getrandbits(64):x}"
        event = Event(f"{random.getrandbits(64):x}", EVENT_TYPE, entity, {"id": entity, "status": "offered"})
        request = hook.request(event, 1, None)
        answer = client.post(hook.url, content=request.content, headers=dict(request.headers)).raise_for_status()
        receipts.append(answer.json()["receipt"])
    client.close()
    return receipts


def audit(served: Served) -> list[dict[str, Any]]:
    """Return both providers' accounts."""
    line = [sys.executable, "-m", "app.cli", "--data", served.data, "audit", "--json"]
    found: list[dict[str, Any]] = json.loads(subprocess.run(line, capture_output=True, text=True, check=False).stdout)
    return found


def pending(served: Served) -> int:
    """Return what waits in Kompar's inbox, as the last look saw it."""
    with psycopg.connect(served.database) as connection:
        row = connection.execute("SELECT pending FROM reporting.freshness WHERE provider = 'kompar'").fetchone()
    return int(row[0]) if row else 0


def percentile(served: Served, receipts: list[str], share: float) -> float:
    """Return a percentile of milliseconds from receipt to row."""
    while True:
        with psycopg.connect(served.database) as connection:
            rows = connection.execute(
                """
                SELECT extract(epoch FROM processed_at - received_at)::double precision * 1000
                FROM reporting.deliveries WHERE receipt = ANY(%s::uuid[])
                """,
                [receipts],
            ).fetchall()
        if len(rows) == len(receipts):
            return float(statistics.quantiles([row[0] for row in rows], n=1000)[round(share * 1000) - 1])
        time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Compared:
    """Solaris' milliseconds alone and under a burst: medians and p99; how long the burst took; whether it is void."""

    medians: tuple[float, float]
    tails: tuple[float, float]
    seconds: float
    void: bool


def compare(burst_of: int, senders: int, alone_seconds: float, say: Callable[[str], None]) -> Compared:
    """Measure Solaris for so long alone, then under a burst of so many Kompar deliveries by so many senders."""
    say(f"making {burst_of} deliveries")
    bodies = [encrypt(fake_kompar.application(Random(number)), KEY) for number in range(burst_of)]
    with serving() as served:
        trickle(served, alone_seconds / 4)
        say("Solaris alone")
        alone = trickle(served, alone_seconds)
        say("Solaris under the burst")
        began = time.monotonic()
        under = _under_burst(served, [bodies[index::senders] for index in range(senders)])
        seconds = time.monotonic() - began
        medians = percentile(served, alone, 0.5), percentile(served, under, 0.5)
        tails = percentile(served, alone, 0.99), percentile(served, under, 0.99)
        accounts = audit(served)
    return Compared(medians, tails, seconds, _is_void(accounts, {"kompar": burst_of}))


def _under_burst(served: Served, shares: list[list[bytes]]) -> list[str]:
    started = multiprocessing.Event()
    senders = [multiprocessing.Process(target=burst, args=(served.ingest, share, started)) for share in shares]
    for sender in senders:
        sender.start()
    started.set()
    receipts = []
    while any(sender.is_alive() for sender in senders):
        receipts += trickle(served, 1)
    # Longer than a look at the inbox is old: what it saw waiting may be drained, and not the other way round.
    return receipts + trickle(served, 4, until_drained=True)


def _is_void(accounts: list[dict[str, Any]], sent: dict[str, int]) -> bool:
    return any(
        account["missing"] or account["in_flight"] or account["appended"] < sent.get(account["provider"], 0)
        for account in accounts
    )


def measure(volume: Volume, _folder: Path, record: Record, say: Callable[[str], None]) -> None:
    """Measure as one of the benchmarks."""
    for _ in range(volume.few_pairs):
        found = compare(volume.drained, 2, volume.steady_seconds * 2, say)
        for subject, milliseconds in zip((KVITTO, ALONE), reversed(found.tails), strict=True):
            record.add(FIGURE, subject, milliseconds, "ms")
        if found.void:
            record.voids.append(f"{FIGURE}: the audit does not add up")


def main() -> None:
    """Measure, print a table, and exit 1 if the goal is missed."""
    arguments = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python -m benchmarks.bulkheads --burst 20000"
    )
    arguments.add_argument("--burst", type=int, default=20_000)
    arguments.add_argument("--senders", type=int, default=2, help="processes that send the burst")
    given = arguments.parse_args()
    found = compare(given.burst, given.senders, 20, partial(print, file=sys.stderr))
    print(f"{'':24}{'alone':>10}{'burst':>10}{'ratio':>8}")
    ratios = {"p50": found.medians, "p99": found.tails}
    for name, (alone, under) in ratios.items():
        goal = f"   goal ≤ {GOAL}" if name == "p99" else ""
        print(f"{f'Solaris {name}, ms':24}{alone:10.1f}{under:10.1f}{under / alone:8.2f}{goal}")
    print(f"burst of {given.burst} sent and drained in {found.seconds:.0f} s; ", end="")
    print(f"audit {'FAILED: void' if found.void else 'adds up'}")
    sys.exit(1 if found.void or found.tails[1] / found.tails[0] > GOAL else 0)


if __name__ == "__main__":
    main()
