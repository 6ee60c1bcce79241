"""A bare Redis append with fsync: `python -m benchmarks.baselines.append URL BYTES NUMBER` prints appends a second.

As many threads as the edge has, each with one transaction in flight of the commands that an edge's append has.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from redis import Redis

_THREADS = 32
_STREAM, _WAKEUP, _EPOCH, _COUNT = "baseline", "baseline:wakeup", "baseline:epoch", "baseline:appended"


def append_rate(url: str, size: int, number: int) -> float:
    """Append so many entries of a size; return how many a second."""
    body = os.urandom(size)
    with Redis.from_url(url, max_connections=_THREADS) as redis, ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda _: redis.ping(), range(_THREADS)))
        started = time.perf_counter()
        list(threads.map(lambda _: _append(redis, body), range(number)))
        seconds = time.perf_counter() - started
        redis.delete(_STREAM, _WAKEUP, _EPOCH, _COUNT)
    return number / seconds


def _append(redis: Redis, body: bytes) -> None:
    pipeline = redis.pipeline(transaction=True)
    pipeline.xadd(_STREAM, {"sealed": body})
    pipeline.set(_WAKEUP, 1, nx=True, ex=5)
    pipeline.set(_EPOCH, "1", nx=True, get=True)
    pipeline.incr(_COUNT)
    pipeline.execute()


if __name__ == "__main__":
    print(append_rate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
