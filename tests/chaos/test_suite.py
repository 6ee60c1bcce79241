"""Every part broken under load, and every accepted delivery accounted for."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.chaos.catalogue import FAULTS, PROXIED, SHORT, WATCHED
from tests.chaos.failover_faults import watched_kvitto
from tests.chaos.fault_context import Fault
from tests.chaos.loss import LOSSES, Loss, reported_loss
from tests.chaos.network_faults import proxied_kvitto
from tests.chaos.proxy import Proxies
from tests.chaos.suite import Volume, run_fault
from tests.support.kvitto_process import Running, running
from tests.support.sentinel import WatchedPair

VOLUME = Volume(deliveries=100, rate=150, full=False, seed=int(os.environ.get("KVITTO_SEED", "1")))


def marked(faults: Sequence[Fault]) -> list[Any]:
    """Return the faults as parameters; those of the short suite are marked."""
    return [pytest.param(each, id=each.name, marks=[pytest.mark.short] * (each.name in SHORT)) for each in faults]


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


@pytest.mark.parametrize("fault", marked(FAULTS))
def test_fault_under_load_loses_and_doubles_nothing(kvitto: Running, fault: Fault) -> None:
    result = run_fault(kvitto, fault, VOLUME)
    assert result.passed, result.describe()


@pytest.mark.parametrize("fault", marked(PROXIED))
def test_cut_server_connection_loses_and_doubles_nothing(proxied: tuple[Running, Proxies], fault: Fault) -> None:
    kvitto, proxies = proxied
    result = run_fault(kvitto, fault, VOLUME, proxies)
    assert result.passed, result.describe()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, WatchedPair]]:
    """One whose Redis has a replica, and a sentinel that promotes it."""
    with watched_kvitto(tmp_path_factory.mktemp("watched")) as started:
        yield started


@pytest.mark.parametrize("fault", marked(WATCHED))
def test_fail_over_of_redis_loses_and_doubles_nothing(watched: tuple[Running, WatchedPair], fault: Fault) -> None:
    kvitto, pair = watched
    result = run_fault(kvitto, fault, VOLUME, pair)
    assert result.passed, result.describe()


@pytest.fixture(scope="module")
def losing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Kvitto for all losses: each is accepted before the next."""
    with running(tmp_path_factory.mktemp("losses") / "data") as started:
        yield started


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_audit_reports_every_entry_that_redis_lost(losing: Running, loss: Loss) -> None:
    found = reported_loss(losing, loss)
    assert found.is_right, found
