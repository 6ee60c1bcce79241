"""Granian's settings for ingest and the console."""

# Threads of one process of ingest: they write to Postgres, prepare large bodies and publish wake-ups.
STORE_THREADS = 16
# Open connections, idle ones included; one more waits until another closes. Each idle one costs 10 kB.
CONNECTIONS = 4096
# Open files of a process that are no connections of clients: to the stores, the log, the metrics.
OTHER_FILES = 256
# A connection is closed after this time without a request; load balancers usually close theirs after 60 s.
KEEP_ALIVE_SECONDS = 75
# Limits of glibc's allocator in ingest. By default it learns to keep large bodies, and keeps an arena of 4 MB for each
# thread, though one thread runs Python at a time.
MMAP_THRESHOLD_BYTES = 1024 * 1024
MALLOC_ARENAS = 1
WORKERS_KILL_TIMEOUT = 20  # seconds until a hung worker is killed, so that a stop always ends
