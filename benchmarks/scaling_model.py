"""A model of Kvitto on several hosts, simulated with SimPy: deliveries arrive, are accepted, wait, and are stored.

It has what bounds the real thing: cores that processes share, the one thread of Redis, and the lock by which the
stores of one provider follow each other. It has no disk that fills, no network that is slow, and no faults.
"""

from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from itertools import cycle
from math import ceil
from typing import Any

import simpy

from config.celery import BATCH_ENTRIES, DRAIN_LIMIT_SECONDS, FEW_ENTRIES, GATHER_SECONDS

# Work that is less than this is done: times are sums of floating-point numbers.
_NOTHING = 1e-9
_Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """What a delivery takes, in seconds of processor time; the last two are what a whole batch waits, in seconds.

    accept, append: of ingest, and of Redis for it. claim: of Redis for claim and acknowledgement. open: of a worker
    outside the lock. store, ledger: of a worker and of Postgres under the lock. background: of Postgres for its log
    and its checkpoints. commit: wait under the lock, for the disk. reply: wait outside it, for Redis and its disk.
    """

    accept: float = 0.0
    append: float = 0.0
    claim: float = 0.0
    open: float = 0.0
    store: float = 0.0
    ledger: float = 0.0
    background: float = 0.0
    commit: float = 0.0
    reply: float = 0.0


@dataclass(frozen=True, slots=True)
class Installation:
    """`hosts` with `cores` each, which run ingest, a process for each core, and `workers` worker processes.

    Postgres and Redis have hosts of their own.

    shared: all of it runs on the cores of one machine, as in a benchmark. speed: the share of each core that other
    programs leave. batch: most deliveries of a batch. stride: so many batches are simulated as one, to save time.
    """

    hosts: int = 1
    cores: int = 2
    workers: int = 2
    providers: int = 1
    postgres_cores: int = 8
    shared: bool = False
    speed: float = 1.0
    batch: int = BATCH_ENTRIES
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation ended with.

    stored_at: when the last delivery was stored. lags: seconds from sending to row, and of how many deliveries,
    ascending. busy: the share of the time that each part worked; the fullest host and the fullest lock count. used:
    seconds of processor time on the hosts.
    """

    sent: int
    stored: int
    waiting: int
    stored_at: float
    lags: list[tuple[float, int]]
    busy: dict[str, float]
    used: float

    def lag(self, share: float) -> float:
        """Return the seconds that this share of the deliveries did not exceed; 0 if none was stored."""
        needed, seen = share * self.stored, 0
        for seconds, number in self.lags:
            seen += number
            if seen >= needed:
                return seconds
        return 0.0

    def mean_lag(self) -> float:
        """Return the mean of seconds from sending to row."""
        return sum(seconds * number for seconds, number in self.lags) / max(self.stored, 1)

    def limit(self) -> str:
        """Return the part that is busiest."""
        return max(self.busy, key=lambda part: self.busy[part])


class Machine:
    """Cores that all running jobs share evenly, as an operating system shares them; no job has more than one."""

    def __init__(self, env: simpy.Environment, cores: int, speed: float = 1.0) -> None:
        self._env = env
        self._cores = cores
        self._speed = speed
        self._left: dict[simpy.Event, float] = {}
        self._seen_at = 0.0
        self._plans = 0
        self.worked = 0.0

    def work(self, seconds: float) -> simpy.Event:
        """Return the event of a job's end, which takes so much processor time."""
        self._advance()
        job = self._env.event()
        self._left[job] = seconds
        self._plan()
        return job

    def busy(self) -> float:
        """Return the share of its cores that was used."""
        self._advance()
        return self.worked / (self._cores * self._speed * self._env.now) if self._env.now else 0.0

    def _rate(self) -> float:
        return self._speed * min(1.0, self._cores / max(len(self._left), 1))

    def _advance(self) -> None:
        done = (self._env.now - self._seen_at) * self._rate()
        self._seen_at = self._env.now
        for job, left in self._left.items():
            self.worked += min(done, left)
            self._left[job] = left - done

    def _plan(self) -> None:
        """Wake up when the first job ends, unless another begins or ends before."""
        self._plans += 1
        if self._left:
            plan = self._plans
            wait = self._env.timeout(max(0.0, min(self._left.values())) / self._rate())
            assert wait.callbacks is not None
            wait.callbacks.append(lambda _: self._end(plan))

    def _end(self, plan: int) -> None:
        if plan != self._plans:
            return
        self._advance()
        for job in [job for job, left in self._left.items() if left <= _NOTHING]:
            del self._left[job]
            job.succeed()
        self._plan()


@dataclass(slots=True)
class Inbox:
    """What waits of one provider: when it was sent, and how many. `lock`: one store at a time."""

    lock: simpy.Resource
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    locked_seconds: float = 0.0

    def claim(self, most: int) -> list[tuple[float, int]]:
        """Take the oldest."""
        found: list[tuple[float, int]] = []
        while self.waiting and most:
            sent_at, number = self.waiting.popleft()
            if number > most:
                self.waiting.appendleft((sent_at, number - most))
            found.append((sent_at, min(number, most)))
            most -= found[-1][1]
        return found


class Simulation:
    """One run of an installation."""

    def __init__(self, times: ServiceTimes, installation: Installation) -> None:
        self._times = times
        self._installation = installation
        self._env = env = simpy.Environment()
        speed = installation.speed
        if installation.shared:
            machine = Machine(env, installation.cores, speed)
            self._hosts, self._postgres, self._redis = [machine] * installation.hosts, machine, machine
        else:
            self._hosts = [Machine(env, installation.cores, speed) for _ in range(installation.hosts)]
            self._postgres, self._redis = Machine(env, installation.postgres_cores, speed), Machine(env, 1, speed)
        self._edges = [simpy.Resource(env, installation.cores) for _ in self._hosts]  # ingest: a process for each core
        self._thread_of_redis = simpy.Resource(env)
        self._inboxes = [Inbox(simpy.Resource(env)) for _ in range(installation.providers)]
        self._idle: deque[simpy.Event] = deque()
        self._sent = self._stored = 0
        self._stored_at = 0.0
        self._lags: list[tuple[float, int]] = []
        for number in range(installation.hosts * installation.workers):
            first = number % installation.providers
            inboxes = self._inboxes[first:] + self._inboxes[:first]
            env.process(self._worker(self._hosts[number % installation.hosts], inboxes))

    def run(self, arrivals: Iterable[tuple[float, int]] = (), backlog: int = 0, until: float | None = None) -> Outcome:
        """Send `arrivals`, pairs of a time in seconds and a number, ascending; `backlog` waits from the start.

        Ends when all is stored, or after `until` seconds.
        """
        for number, inbox in enumerate(self._inboxes):
            share = len(range(number, backlog, len(self._inboxes)))
            self._sent += share
            self._put(inbox, 0.0, share)
        self._env.process(self._send(arrivals))
        self._env.run(until)
        busy = {
            "hosts": max(host.busy() for host in self._hosts),
            "Postgres": self._postgres.busy(),
            "Redis": self._redis.busy(),
            "lock": max(inbox.locked_seconds for inbox in self._inboxes) / max(self._env.now, _NOTHING),
        }
        used = sum(host.worked for host in set(self._hosts))
        waiting = self._sent - self._stored
        return Outcome(self._sent, self._stored, waiting, self._stored_at, sorted(self._lags), busy, used)

    def _put(self, inbox: Inbox, sent_at: float, number: int) -> None:
        if number:
            inbox.waiting.append((sent_at, number))
            if self._idle:
                self._idle.popleft().succeed()

    def _send(self, arrivals: Iterable[tuple[float, int]]) -> _Steps:
        edges = cycle(zip(self._hosts, self._edges, strict=True))
        for (at, number), inbox, (host, processes) in zip(arrivals, cycle(self._inboxes), edges, strict=False):
            if at > self._env.now:
                yield self._env.timeout(at - self._env.now)
            self._sent += number
            self._env.process(self._accept(host, processes, inbox, number))

    def _accept(self, host: Machine, processes: simpy.Resource, inbox: Inbox, number: int) -> _Steps:
        sent_at = self._env.now
        with processes.request() as turn:
            yield turn
            yield host.work(number * self._times.accept)
        yield from self._in_redis(number * self._times.append)
        self._put(inbox, sent_at, number)

    def _in_redis(self, seconds: float) -> _Steps:
        with self._thread_of_redis.request() as turn:
            yield turn
            yield self._redis.work(seconds)

    def _worker(self, host: Machine, inboxes: list[Inbox]) -> _Steps:
        """Drain an inbox batch by batch: until it is empty, or for the time of a task; then the next one."""
        limit, until, turns = self._installation.batch, 0.0, deque(inboxes)
        while True:
            if self._env.now >= until or not turns[0].waiting:
                turns.rotate(-1)
                until = self._env.now + DRAIN_LIMIT_SECONDS
            inbox = next((each for each in turns if each.waiting), None)
            if inbox is None:
                self._idle.append(self._env.event())
                yield self._idle[-1]
                continue
            batch = inbox.claim(limit * self._installation.stride)
            number = sum(of_one for _, of_one in batch)
            yield from self._process(host, inbox, number, ceil(number / limit))
            self._stored_at = self._env.now
            self._stored += number
            self._lags += [(self._env.now - sent_at, of_one) for sent_at, of_one in batch]
            if FEW_ENTRIES < number < limit:
                yield self._env.timeout(GATHER_SECONDS)

    def _process(self, host: Machine, inbox: Inbox, number: int, batches: int) -> _Steps:
        times = self._times
        yield from self._in_redis(number * times.claim)
        yield host.work(number * times.open)
        yield self._env.timeout(batches * times.reply)
        with inbox.lock.request() as turn:
            yield turn
            began = self._env.now
            yield host.work(number * times.store)
            yield self._postgres.work(number * times.ledger)
            yield self._env.timeout(batches * times.commit)
            inbox.locked_seconds += self._env.now - began
        self._postgres.work(number * times.background)


def drain_rate(times: ServiceTimes, installation: Installation, backlog: int) -> float:
    """Return the deliveries a second at which a backlog is drained."""
    return backlog / Simulation(times, installation).run(backlog=backlog).stored_at


def steady(rate: float, seconds: float, tick: float = 0.25) -> list[tuple[float, int]]:
    """Return arrivals at a constant rate, in deliveries a second."""
    return [(at * tick, round(rate * (at + 1) * tick) - round(rate * at * tick)) for at in range(round(seconds / tick))]


def highest_rate(times: ServiceTimes, installation: Installation, seconds: float = 60.0) -> tuple[float, str]:
    """Return the highest rate that is stored as fast as it arrives, within 2 %, and which part limits it."""
    low, high, limit = 0.0, 1000.0, ""
    while high - low > 0.02 * high:
        rate = (low + high) / 2 if limit else high
        found = Simulation(times, installation).run(steady(rate, seconds), until=seconds)
        if found.waiting <= 2 * rate:
            low, high = rate, high if limit else 2 * rate
        else:
            high, limit = rate, found.limit()
    return low, limit
