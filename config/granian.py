"""Granian's settings for the edge and the console."""

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


def server_arguments(
    bind: tuple[str, int], blocking_threads: int, certificate: tuple[str, str] | None = None, processes: int = 1
) -> list[str]:
    """Return Granian's command-line arguments for a WSGI app on `bind` (host, port).

    With a `certificate`, two files in PEM of which the second has the key, it speaks HTTPS.
    """
    settings: dict[str, Any] = {
        "interface": "wsgi",
        "host": bind[0],
        "port": bind[1],
        "workers": processes,
        # One thread a request in progress; each waits for one fsync, shared with the others.
        "blocking-threads": blocking_threads,
        "backpressure": max(_CONNECTIONS, blocking_threads),
        "workers-kill-timeout": 20,  # then a hung worker is killed, so that a stop always ends
        "http": "1",
        "log-level": "warning",
    }
    if certificate:
        settings |= {"ssl-certificate": certificate[0], "ssl-keyfile": certificate[1]}
    flags = ["--no-ws", "--respawn-failed-workers", "--respawn-interval", "0.1"]
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))] + flags
