"""Every fault that is played, in order."""

from tests.faults import network_faults, postgres_faults, process_faults, redis_faults

FAULTS = [*process_faults.FAULTS, *network_faults.FAULTS, *postgres_faults.FAULTS, *redis_faults.FAULTS]
WIRED = network_faults.WIRED
