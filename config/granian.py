"""Granian's settings for ingest and the console."""

# Threads of one process of ingest: they write to Postgres, prepare large bodies and publish wake-ups.
STORE_THREADS = 16
# Open connections, idle ones included; one more waits until another closes. Each idle one costs 10 kB.
CONNECTIONS = 4096
# Open files of a process that are no connections of clients: to the stores, the log, the metrics.
OTHER_FILES = 256
# A connection is closed after this time without a request; load balancers usually close theirs after 60 s.
KEEP_ALIVE_SECONDS = 75
# Settings of glibc's allocator. By default it learns to keep large bodies, keeps an arena of 4 MB for each thread,
# though one thread runs Python at a time, and caches what each thread freed, 3 MB in all.
EDGE_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
WORKERS_KILL_TIMEOUT = 20  # seconds until a hung worker is killed, so that a stop always ends
