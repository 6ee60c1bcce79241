"""Serves a process's metrics on METRICS_BIND: what it and its children count, and what it reads at each scrape.

The parent process serves. It outlives its children, and a scrape takes no time from their work.
"""

import logging
import os
import platform
import signal
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app import metrics

_HINT = "Free the address, or name another in METRICS_BIND, and restart"
logger = logging.getLogger(__name__)


def serve(bind: tuple[str, int], *collectors: Collector) -> None:
    """Serve the metrics of this process, of its later forks and of `collectors` on (host, port), from a thread.

    If that is impossible an error is logged, and the process does its work without.
    """
    registry = CollectorRegistry()
    for collector in (_BuildInfo(), _ProcessesCollector(), *collectors):
        registry.register(collector)
    if folder := metrics.shared_folder():
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    # Signals are for the main thread, which would not notice one that this thread gets.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        server, _ = start_http_server(bind[1], bind[0], registry)
    except OSError as error:
        logger.error("metrics_not_served", extra={"reason": error.strerror, "hint": _HINT})  # noqa: TRY400 - the place says nothing
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    os.register_at_fork(after_in_child=server.socket.close)  # a child that outlives this process must free the port


class _BuildInfo(Collector):
    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "kvitto_build_info", "Versions of Kvitto and Python; always 1.", labels=("version", "python")
        )
        info.add_metric((version("kvitto"), platform.python_version()), 1)
        yield info


class _ProcessesCollector(Collector):
    """Memory, CPU time and files of this process (`main`) and of the children that count, by their numbers."""

    def collect(self) -> Iterator[Metric]:
        processes = {"main": os.getpid()}
        if folder := metrics.shared_folder():
            processes |= {str(number): pid for number, pid in metrics.sharing_processes(folder).items()}
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for name, pid in processes.items():
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                kind = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
                found = families.setdefault(family.name, kind(family.name, family.documentation, labels=["process"]))
                for sample in family.samples:
                    found.add_metric([name], sample.value)
        yield from families.values()
