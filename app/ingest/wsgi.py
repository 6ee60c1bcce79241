"""What the WSGI server loads: `granian --interface wsgi app.ingest.wsgi:app`."""

import config.logging
from app.ingest.app import create_app
from app.ingest.runtime import freeze, stop_gently, take_turns
from config.environment import Environment

take_turns()
config.logging.configure()
stop_gently()
app = create_app(Environment.of_process())
freeze()
