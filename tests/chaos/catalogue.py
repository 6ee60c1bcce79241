"""Every fault, in order. Faults of the same part are apart, because the supervisor waits after each death."""

from tests.chaos import (
    ageing_faults,
    consumer_faults,
    failover_faults,
    network_faults,
    postgres_faults,
    process_faults,
    redis_faults,
    rolling_faults,
)

FAULTS = [
    *process_faults.KILLED,
    *network_faults.FAULTS,
    *postgres_faults.FAULTS,
    *process_faults.ENDED,
    *rolling_faults.FAULTS,
    *process_faults.MIXED,
    *consumer_faults.FAULTS,
    *ageing_faults.FAULTS,
    *process_faults.FROZEN,
    *redis_faults.FAULTS,
]
PROXIED = network_faults.PROXIED
WATCHED = failover_faults.WATCHED
# One of each kind: what runs before each change lands.
SHORT = {
    "edge killed", "worker killed", "redis killed", "postgres killed", "everything killed at once",
    "requests cut in the middle", "redis frozen", "redis full", "postgres disk full", "consumer groups destroyed",
    "replies to appends cut off", "consumer of the feed killed",
}  # fmt: skip
