"""What the WSGI server loads: `granian --interface wsgi app.ingest.wsgi:app`."""

import config.logging
from app.ingest.application import create_app
from config.environment import Environment

config.logging.configure()
app = create_app(Environment.of_process())
