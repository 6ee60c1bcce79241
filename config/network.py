"""What Kvitto expects of the network between its processes and their stores."""

_BYTES_PER_SECOND = 4_000_000


def seconds_to_send(size: int) -> float:
    """Return how long so many bytes may take to a store, beside what the store itself may take."""
    return size / _BYTES_PER_SECOND
