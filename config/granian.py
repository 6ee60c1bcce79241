"""Granian's settings for ingest and the console."""

from pathlib import Path
from typing import Any

# Concurrent requests in one process of ingest.
EDGE_THREADS = 24
# Open connections, idle ones included; one more waits until another closes.
_CONNECTIONS = 256
# Settings of glibc's allocator. By default it learns to keep large bodies, keeps an arena of 4 MB for each thread,
# though one thread runs Python at a time, and caches what each thread freed, 3 MB in all.
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
        # One thread per concurrent request; each waits for one fsync, shared with the others.
        "blocking_threads": blocking_threads,
        "backpressure": max(_CONNECTIONS, blocking_threads),
        "workers_kill_timeout": 20,  # seconds until a hung worker is killed, so that a stop always ends
        "respawn_failed_workers": True,
        "respawn_interval": 0.1,
    }
    if certificate:
        settings |= {"ssl_cert": Path(certificate[0]), "ssl_key": Path(certificate[1])}
    return settings
