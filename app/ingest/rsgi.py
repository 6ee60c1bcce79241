"""Builds the edge in a process of Granian: `kvitto ingest` names `app.ingest.rsgi:create`."""

import threading

import config.logging
from app import metrics
from app.ingest.app import create_edge
from app.ingest.edge import Edge
from app.ingest.edge_secrets import EdgeSettings
from app.ingest.runtime import drain_on_sigterm, freeze_startup_objects, tune_thread_switching
from config.secret_files import Rereading


def create() -> Edge:
    """Return the edge; call it once, before any other thread starts."""
    tune_thread_switching()
    config.logging.configure()
    secrets = Rereading(EdgeSettings.read, report=metrics.report_secret)
    draining = threading.Event()
    drain_on_sigterm(draining, secrets.value.ingest.drain_seconds)
    metrics.share()
    edge = create_edge(secrets, draining)
    freeze_startup_objects()
    return edge
