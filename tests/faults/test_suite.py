"""Every part broken under load, and every accepted delivery accounted for. `make faults` does the same at length."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS, PROXIED
from tests.faults.fault_context import Fault
from tests.faults.loss import ENTRIES, reported_loss
from tests.faults.network_faults import proxied_kvitto
from tests.faults.proxy import Proxies
from tests.faults.suite import Volume, run_fault
from tests.kvitto_process import Running, running

VOLUME = Volume(deliveries=100, rate=150, full=False, seed=int(os.environ.get("KVITTO_SEED", "1")))


@pytest.fixture(scope="module")
def kvitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Kvitto for all faults: each must leave it working for the next."""
    with running(tmp_path_factory.mktemp("faults") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Proxies]]:
    """One whose connections to its servers can be cut."""
    with proxied_kvitto(tmp_path_factory.mktemp("proxied")) as started:
        yield started


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_under_load_loses_and_doubles_nothing(kvitto: Running, fault: Fault) -> None:
    result = run_fault(kvitto, fault, VOLUME)
    assert result.passed, result.describe()


@pytest.mark.parametrize("fault", PROXIED, ids=lambda fault: fault.name)
def test_cut_server_connection_loses_and_doubles_nothing(proxied: tuple[Running, Proxies], fault: Fault) -> None:
    kvitto, proxies = proxied
    result = run_fault(kvitto, fault, VOLUME, proxies)
    assert result.passed, result.describe()


def test_audit_reports_every_entry_of_an_emptied_redis(tmp_path: Path) -> None:
    assert reported_loss(tmp_path) == (1, ENTRIES)
