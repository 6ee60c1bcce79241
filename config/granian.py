"""Granian's settings for the edge and the console."""

from pathlib import Path
from typing import Any

# Requests in progress at once, in one process of the edge.
EDGE_THREADS = 24
# Whether idle or not. What a balancer holds open beyond them would wait for one to be closed.
_CONNECTIONS = 256
# glibc's: by default it learns to keep large bodies, keeps an arena of 4 MB for every thread though one runs Python
# at a time, and for each what it freed, 3 MB in all.
EDGE_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}


def server_settings(
    bind: tuple[str, int], blocking_threads: int, certificate: tuple[str, str] | None = None, processes: int = 1
) -> dict[str, Any]:
    """Return Granian's settings for a WSGI app on `bind` (host, port), as its constructor takes them.

    With a `certificate`, two PEM files of which the second is the key, it serves HTTPS.
    """
    settings: dict[str, Any] = {
        "address": bind[0],
        "port": bind[1],
        "workers": processes,
        # One thread a request in progress; each waits for one fsync, shared with the others.
        "blocking_threads": blocking_threads,
        "backpressure": max(_CONNECTIONS, blocking_threads),
        "workers_kill_timeout": 20,  # then a hung worker is killed, so that a stop always ends
        "respawn_failed_workers": True,
        "respawn_interval": 0.1,
    }
    if certificate:
        settings |= {"ssl_cert": Path(certificate[0]), "ssl_key": Path(certificate[1])}
    return settings
