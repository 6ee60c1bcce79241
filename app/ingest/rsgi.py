"""Builds the edge in a process of Granian: `kvitto ingest` names `app.ingest.rsgi:create`."""

import threading

import config.logging
from app import metrics
from app.ingest.app import create_app
from app.ingest.buffered_wsgi import BufferedWsgi
from app.ingest.request_body import BodyReader
from app.ingest.runtime import drain_on_sigterm, freeze_startup_objects, tune_thread_switching
from config.environment import Environment
from config.settings import IngestSettings


def create(threads: int) -> BufferedWsgi:
    """Return the edge, which answers deliveries in so many threads; call it once, before any other thread starts."""
    tune_thread_switching()
    config.logging.configure()
    environment = Environment.of_process()
    settings = IngestSettings.read(environment)
    environment.check()
    draining = threading.Event()
    drain_on_sigterm(draining, settings.drain_seconds)
    metrics.share()
    endpoint = create_app(environment, draining)
    edge = BufferedWsgi(endpoint, BodyReader(settings.body_limit_bytes), threads, draining)
    freeze_startup_objects()
    return edge
