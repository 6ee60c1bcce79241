"""The model agrees with formulas where there are any, and no delivery disappears in it."""

from itertools import accumulate
from random import Random

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.forecast import DAY, burst, day
from benchmarks.scaling_model import (
    Installation,
    Machine,
    ServiceTimes,
    Simulation,
    drain_rate,
    highest_rate,
    steady,
)

# One server that takes deliveries one by one, each for so long.
SERVICE_SECONDS = 0.01
ONE_BY_ONE = Installation(workers=1, cores=1, batch=1)
# As they are on some machine.
TIMES = ServiceTimes(
    accept=150e-6, append=20e-6, claim=10e-6, open=100e-6, store=40e-6, ledger=60e-6, background=5e-6, commit=2e-3,
    reply=1e-3,
)  # fmt: skip


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_random_arrivals_wait_as_the_formula_of_one_server_says(load: float) -> None:
    """M/D/1: at a load of r, a delivery waits r / (2 (1 - r)) services before its own (Pollaczek, Khinchine)."""
    random = Random(1)
    gaps = (random.expovariate(load / SERVICE_SECONDS) for _ in range(4_000))
    found = Simulation(ServiceTimes(open=SERVICE_SECONDS), ONE_BY_ONE).run((at, 1) for at in accumulate(gaps))
    expected = SERVICE_SECONDS * (1 + load / (2 * (1 - load)))
    assert found.mean_lag() == pytest.approx(expected, rel=0.08)
    assert found.busy["hosts"] == pytest.approx(load, rel=0.03)


@pytest.mark.parametrize(
    ("jobs", "cores", "seconds"), [(1, 2, 1.0), (2, 2, 1.0), (3, 2, 1.5), (8, 2, 4.0), (8, 4, 2.0)]
)
def test_a_machine_shares_its_cores_evenly(jobs: int, cores: int, seconds: float) -> None:
    env = simpy.Environment()
    machine = Machine(env, cores)
    env.run(env.all_of([machine.work(1.0) for _ in range(jobs)]))
    assert env.now == pytest.approx(seconds)
    assert machine.worked == pytest.approx(jobs)
    assert machine.busy() == pytest.approx(jobs / (cores * seconds))


def test_a_job_that_comes_later_slows_the_others_from_then_on() -> None:
    env = simpy.Environment()
    machine = Machine(env, 1)
    first = machine.work(2.0)
    env.run(1.0)
    second = machine.work(0.5)
    env.run(second)
    assert env.now == pytest.approx(2.0)
    env.run(first)
    assert env.now == pytest.approx(2.5)


def test_a_slower_machine_takes_longer_by_its_speed() -> None:
    env = simpy.Environment()
    env.run(Machine(env, 2, speed=0.25).work(1.0))
    assert env.now == pytest.approx(4.0)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 3000)), max_size=12),
    st.integers(0, 5000),
    st.builds(
        Installation,
        hosts=st.integers(1, 3),
        providers=st.integers(1, 3),
        shared=st.booleans(),
        stride=st.sampled_from([1, 7]),
    ),
)
@settings(max_examples=60, deadline=None)
def test_every_delivery_is_stored_once(
    arrivals: list[tuple[float, int]], backlog: int, installation: Installation
) -> None:
    found = Simulation(TIMES, installation).run(sorted(arrivals), backlog)
    assert found.sent == found.stored == backlog + sum(number for _, number in arrivals)
    assert found.waiting == 0
    assert sum(number for _, number in found.lags) == found.stored
    assert all(seconds >= 0 for seconds, _ in found.lags)


def test_what_is_not_stored_in_time_waits() -> None:
    found = Simulation(TIMES, Installation(hosts=1)).run(steady(20_000, 10), until=10)
    assert found.stored > 0
    assert found.waiting == 200_000 - found.stored


def test_one_process_takes_the_sum_of_all_parts() -> None:
    seconds = TIMES.claim + TIMES.open + TIMES.store + TIMES.ledger + (TIMES.commit + TIMES.reply) / 500
    assert drain_rate(TIMES, Installation(workers=1), 50_000) == pytest.approx(1 / seconds, rel=0.01)


def test_one_provider_is_bound_by_its_lock_whatever_the_number_of_hosts() -> None:
    under_lock = TIMES.store + TIMES.ledger + TIMES.commit / 500
    for hosts in (8, 32):
        assert drain_rate(TIMES, Installation(hosts), 100_000) == pytest.approx(1 / under_lock, rel=0.03)
    rate, limit = highest_rate(TIMES, Installation(16))
    assert limit == "lock"
    assert rate == pytest.approx(1 / under_lock, rel=0.06)


def test_hosts_on_shared_cores_store_no_more_than_the_cores_allow() -> None:
    processor_time = TIMES.claim + TIMES.open + TIMES.store + TIMES.ledger + TIMES.background
    for hosts in (1, 2, 4):
        found = drain_rate(TIMES, Installation(hosts, cores=2, shared=True), 40_000)
        assert found < 2 / processor_time
    assert highest_rate(TIMES, Installation(1))[1] == "hosts"


def test_more_providers_have_more_locks() -> None:
    one, four = (highest_rate(TIMES, Installation(16, providers=number), 15.0)[0] for number in (1, 4))
    assert four > 2.5 * one


def test_a_longer_stride_changes_the_rate_little() -> None:
    fine, coarse = (
        Simulation(TIMES, Installation(2, stride=stride)).run(steady(30_000, 20)).stored_at for stride in (1, 4)
    )
    assert coarse == pytest.approx(fine, rel=0.05)


def test_a_day_and_a_burst_bring_what_was_asked_for() -> None:
    assert sum(DAY) == 100
    found = list(day(1_000_000))
    assert sum(number for _, number in found) == 1_000_000
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert sum(number for _, number in burst(12_345)) == 12_345
    assert sum(number for _, number in steady(333.3, 10)) == 3333


def test_lags_are_percentiles_of_deliveries() -> None:
    found = Simulation(ServiceTimes(open=1.0), Installation(workers=1, cores=1, batch=1)).run(backlog=4)
    assert [found.lag(share) for share in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([1, 2, 3, 4])
    assert found.mean_lag() == pytest.approx(2.5)
