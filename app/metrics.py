"""Every metric, once."""

import os
import socket

from prometheus_client import Counter, Histogram, values

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # A file per process, by default named by its number; containers that share the folder have the same numbers.
    # Asked for at every count, so it must not give up the interpreter, as asking for the host's name does.
    _HOST = socket.gethostname()
    values.ValueClass = values.MultiProcessValue(lambda: f"{_HOST}-{os.getpid()}")  # type: ignore[no-untyped-call]

ACCEPTED = Counter("kvitto_accepted", "Deliveries answered 200, durable", ["provider"])
OVERFLOWED = Counter("kvitto_overflowed", "Of them kept in Postgres instead of Redis", ["provider"])
REFUSED = Counter("kvitto_refused", "Requests answered 401", ["provider", "reason"])
UNAVAILABLE = Counter("kvitto_unavailable", "Requests answered 503", ["reason"])
ANSWER_SECONDS = Histogram(
    "kvitto_answer_seconds",
    "From the request's arrival to its answer",
    ["provider"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
RINGS_FAILED = Counter(
    "kvitto_rings_failed", "Wake-ups that could not be sent; the sweep makes up for them", ["provider"]
)
SETTLED = Counter("kvitto_settled", "Deliveries taken into the ledger", ["provider"])
STUCK = Counter("kvitto_stuck", "Deliveries left in the inbox by a fault of ours", ["provider", "reason"])
