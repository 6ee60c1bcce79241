"""The edge as a WSGI server loads it: `granian --interface wsgi app.ingest.wsgi:app`."""

import config.logging
from app import metrics
from app.ingest.app import create_app
from app.ingest.runtime import drain_on_sigterm, freeze_startup_objects, tune_thread_switching
from config.environment import Environment

tune_thread_switching()
config.logging.configure()
drain_on_sigterm()
metrics.share()
app = create_app(Environment.of_process())
freeze_startup_objects()
