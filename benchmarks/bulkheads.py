"""Does a burst of one provider delay another? Solaris' latency with and without a burst of Kompar deliveries.

Latency is from receipt (the inbox's clock) to the row in the ledger. The yardstick is Solaris' own
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import psycopg

from app.sandbox import people
from app.sandbox.hooks import Event
from app.sandbox.kompar import encrypt
from app.sandbox.solaris import SolarisHook

GOAL = 3.0
RATE = 20.0
SECRET = "5ec2e7"  # noqa: S105 - made up for this run
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
        with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as up:  # noqa: S603
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
    found: list[dict[str, Any]] = json.loads(subprocess.run(line, capture_output=True, text=True, check=False).stdout)  # noqa: S603
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


def main() -> None:
    """Measure, print a table, and exit 1 if the goal is missed."""
    arguments = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python -m benchmarks.bulkheads --burst 20000"
    )
    arguments.add_argument("--burst", type=int, default=20_000)
    arguments.add_argument("--senders", type=int, default=2, help="processes that send the burst")
    given = arguments.parse_args()
    print(f"making {given.burst} deliveries", file=sys.stderr)
    bodies = [encrypt(people.application(Random(number)), KEY) for number in range(given.burst)]
    with serving() as served:
        trickle(served, 5)
        print("Solaris alone", file=sys.stderr)
        alone = trickle(served, 20)
        print("Solaris under the burst", file=sys.stderr)
        began, started = time.monotonic(), multiprocessing.Event()
        shares = [bodies[index :: given.senders] for index in range(given.senders)]
        senders = [multiprocessing.Process(target=burst, args=(served.ingest, share, started)) for share in shares]
        for sender in senders:
            sender.start()
        started.set()
        under = []
        while any(sender.is_alive() for sender in senders):
            under += trickle(served, 1)
        under += trickle(served, 4, until_drained=True)
        seconds = time.monotonic() - began
        before, during = percentile(served, alone, 0.99), percentile(served, under, 0.99)
        medians = percentile(served, alone, 0.5), percentile(served, under, 0.5)
        accounts = audit(served)
    sent = {"kompar": given.burst}
    void = any(
        account["missing"] or account["in_flight"] or account["appended"] < sent.get(account["provider"], 0)
        for account in accounts
    )
    print(f"{'':24}{'alone':>10}{'burst':>10}{'ratio':>8}")
    print(f"{'Solaris p50, ms':24}{medians[0]:10.1f}{medians[1]:10.1f}{medians[1] / medians[0]:8.2f}")
    print(f"{'Solaris p99, ms':24}{before:10.1f}{during:10.1f}{during / before:8.2f}   goal ≤ {GOAL}")
    print(f"burst of {given.burst} sent and drained in {seconds:.0f} s; audit {'FAILED: void' if void else 'adds up'}")
    sys.exit(1 if void or during / before > GOAL else 0)


if __name__ == "__main__":
    main()
