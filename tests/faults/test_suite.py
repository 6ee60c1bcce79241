"""Every part broken under load, and every accepted delivery accounted for. `make faults` does the same at length."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS, WIRED
from tests.faults.fault_context import Fault
from tests.faults.loss import ENTRIES, told_loss
from tests.faults.network_faults import wired
from tests.faults.proxy import Wires
from tests.faults.suite import Volume, play
from tests.kvitto_process import Running, running

VOLUME = Volume(deliveries=100, rate=150, full=False, seed=int(os.environ.get("KVITTO_SEED", "1")))


@pytest.fixture(scope="module")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Kvitto for all faults: each has to leave it whole for the next."""
    with running(tmp_path_factory.mktemp("faults") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def wired_kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Wires]]:
    """One whose connections to its servers can be cut."""
    with wired(tmp_path_factory.mktemp("wired")) as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost_or_doubled(kvitto: Running, fault: Fault) -> None:
    result = play(kvitto, fault, VOLUME)
    assert result.passed, result.describe()


@pytest.mark.parametrize("fault", WIRED, ids=lambda fault: fault.name)
def test_nothing_is_lost_or_doubled_on_cut_wires(wired_kvitto: tuple[Running, Wires], fault: Fault) -> None:
    kvitto, wires = wired_kvitto
    result = play(kvitto, fault, VOLUME, wires)
    assert result.passed, result.describe()


def test_a_redis_that_forgot_is_told_to_the_entry(tmp_path: Path) -> None:
    assert told_loss(tmp_path) == (1, ENTRIES)
